"""
A secret is bound to the host that it is sent to (A44). Pure.

Whoever may publish a provider's settings may not read its key. But he may change the address beside
it, and then every gateway would send him the key: that is how keys leak in panels that mask them.
So a publish that keeps a sealed secret ("unchanged", or ``***``) keeps its destination too: scheme,
host and port of the field that the kind names. Another one takes the secret again, which only
somebody can send who has it. Where no kind says which field that is, every address beside the
secret is it: otherwise whoever may bind a key to a schema of his own would bind it, change the
host, and bind it back. Going back to an old version brings address and seal back together,
so it asks for nothing.

Rejected: the address inside the seal's associated data (a gateway would need the kind to check it,
and every change of a path would seal anew), and asking for another role (an admin's token is stolen
as well).
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from client_sdk.paths import Path, dotted
from client_sdk.sealing import ANY, MARK, MASK, contains_seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client_sdk.sealing import FieldPath

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def moved_secrets(
    value: Any, before: Any, destinations: Iterable[tuple[FieldPath, FieldPath]]
) -> list[dict[str, str]]:
    """
    Secrets that ``value`` keeps as they were in ``before`` while their address names another host:
    an error for each. ``destinations`` are (secret, address), ``*`` for any member.
    """
    errors = []
    for secret, address in destinations:
        for path in _places(value, secret):
            where = _beside(path, address)
            now, was = _origin(_at(value, where)), _origin(_at(before, where))
            if _is_kept(_at(value, path)) and (now is None or now != was):
                errors.append(_error(path, where))
    return errors


def moved_beside(value: Any, before: Any) -> list[dict[str, str]]:
    """The same where no kind names the address: any that stands beside a secret is one."""
    errors = []
    for path in _kept(value):
        if not path or not contains_seal(_at(before, path)):
            continue
        sides = [_at(each, path[:-1]) for each in (value, before)]
        for name in sorted({name for side in sides for name, _ in _members(side)}, key=str):
            now, was = (_origin(_at(side, (name,))) for side in sides)
            if now != was:
                errors.append(_error(path, (*path[:-1], name)))
    return errors


def _error(path: Path, where: Path) -> dict[str, str]:
    return {
        "path": dotted(path),
        "message": f"is sent to another host than before, because {dotted(where)} was changed: "
        "send the secret itself",
    }


def _kept(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where ``value`` says of a secret that it stays as it is."""
    if _is_kept(value):
        yield path
        return
    for part, member in _members(value):
        yield from _kept(member, (*path, part))


def _is_kept(found: Any) -> bool:
    return found == MASK or (isinstance(found, dict) and MARK in found)


def _origin(address: Any) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what has none."""
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    scheme = parts.scheme.lower()
    return scheme, parts.hostname.lower().rstrip("."), port or _PORTS.get(scheme)


def _beside(path: Path, address: FieldPath) -> Path:
    """The address's path with what ``*`` stands for in the secret's."""
    pairs = zip_longest(address, path[: len(address)])
    return tuple(at if name == ANY else name for name, at in pairs)


def _places(value: Any, pattern: FieldPath, path: Path = ()) -> Iterator[Path]:
    """Every path of ``value`` that the pattern leads to."""
    if not pattern:
        yield path
        return
    name, rest = pattern[0], pattern[1:]
    for part, member in _members(value):
        if name in (ANY, str(part)):
            yield from _places(member, rest, (*path, part))


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)


def _at(value: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for part in path:
        value = next((member for name, member in _members(value) if name == part), None)
    return value
