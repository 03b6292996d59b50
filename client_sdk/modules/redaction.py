"""
What may be told of an exception: its type, and its words without the secrets of the settings.

A provider that refuses a key likes to quote it, and a reason travels into reports, logs and pages.
Masked are the fields that were sealed and those whose name says that they are secret, as they are,
escaped and percent-encoded. A secret so short that masking it would riddle the text takes the whole
text with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from client_sdk.sealing import MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MASK = "***"
LONGEST_REASON = 300
_SHORTEST = 4

_SECRET_NAME = re.compile(
    r"(api|access|private|auth)[-_]?key|token|secret|passw|credential|authorization|\bkey\b", re.I
)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def secrets_of(stored: Any, opened: Any) -> frozenset[str]:
    """The secret texts in ``opened``, which is ``stored`` with its sealed fields opened."""
    return frozenset(_secrets(stored, opened, secret=False))


def reason_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """One line that says what went wrong: ``TypeError: ...``, at most 300 characters."""
    name = type(error).__name__
    text = masked(str(error), secrets)
    return f"{name}: {text}"[:LONGEST_REASON] if text else name


def masked(text: str, secrets: Iterable[str]) -> str:
    """``text`` on one line and without ``secrets``; empty when it cannot be told at all."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    for form in forms:
        if form in text:
            if len(form) < _SHORTEST:
                return ""
            text = text.replace(form, MASK)
    text = _USERINFO.sub(f"{MASK}@", text)
    return " ".join(text.split())


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")


def _secrets(stored: Any, opened: Any, *, secret: bool) -> Iterator[str]:
    sealed = isinstance(stored, dict) and MARK in stored
    for below, member, named_so in _members({} if sealed else stored, opened):
        yield from _secrets(below, member, secret=secret or sealed or named_so)
    if (secret or sealed) and _is_text(opened):
        yield str(opened)


def _members(stored: Any, opened: Any) -> Iterable[tuple[Any, Any, bool]]:
    """(as stored, as opened, has a name as secrets have) of each member; a scalar has none."""
    if isinstance(opened, dict):
        return _of_dict(stored, opened)
    return _of_list(stored, opened) if isinstance(opened, (list, tuple)) else ()


def _of_dict(stored: Any, opened: dict[str, Any]) -> Iterable[tuple[Any, Any, bool]]:
    kept = stored if isinstance(stored, dict) else {}
    for name, member in opened.items():
        yield kept.get(name), member, _SECRET_NAME.search(name) is not None


def _of_list(stored: Any, opened: Sequence[Any]) -> Iterable[tuple[Any, Any, bool]]:
    kept = stored if isinstance(stored, (list, tuple)) else ()
    for at, member in enumerate(opened):
        yield kept[at] if at < len(kept) else None, member, False


def _is_text(value: Any) -> bool:
    """True for what can stand in a message and be taken out of it."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and bool(str(value))
