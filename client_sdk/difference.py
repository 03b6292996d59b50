"""
What changed between two values, structurally.

The walk descends only where two subtrees differ. Equality is first asked of ``==`` (in C), which
says no at the first difference; but to Python ``1 == 1.0 == True``, and a change from 1 to true
must not be called "no difference". So what ``==`` calls equal must also be the same JSON. Members
that were moved within an array are shown as what happened at each index; finding moves costs more
than readers gain. Applying the deltas in order to the old value gives the new one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from client_sdk.paths import pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from client_sdk.paths import Path

MASK = "***"


@dataclass(frozen=True, slots=True)
class Delta:
    """One difference; ``old`` is ``None`` for an ``add``, ``new`` for a ``remove``."""

    path: Path
    op: Literal["add", "remove", "replace"]
    old: Any = None
    new: Any = None

    def to_json(self) -> dict[str, Any]:
        """The structural form: the path as a JSON pointer, and what the operation has."""
        plain: dict[str, Any] = {"op": self.op, "path": pointer(self.path)}
        if self.op != "add":
            plain["old"] = self.old
        if self.op != "remove":
            plain["new"] = self.new
        return plain


def difference(old: Any, new: Any) -> list[Delta]:
    """The deltas from ``old`` to ``new``, both JSON values, frozen or not."""
    return list(_walk((), old, new))


def json_patch(deltas: Iterable[Delta]) -> list[dict[str, Any]]:
    """The deltas as a JSON Patch (RFC 6902)."""
    return [
        {"op": delta.op, "path": pointer(delta.path)}
        | ({} if delta.op == "remove" else {"value": delta.new})
        for delta in deltas
    ]


def mask(deltas: Iterable[Delta], secret: Callable[[Path], bool]) -> list[Delta]:
    """
    The deltas to show: what lies at or under a secret path is ``***``, and changed at most once.

    ``secret`` is asked for each path from the root down.
    """
    shown: list[Delta] = []
    covered: set[Path] = set()
    for delta in deltas:
        cut = _first_secret(delta.path, secret)
        if cut is None or cut == delta.path:
            old = None if delta.op == "add" else _masked(delta.old, delta.path, secret)
            new = None if delta.op == "remove" else _masked(delta.new, delta.path, secret)
            shown.append(replace(delta, old=old, new=new))
        elif cut not in covered:
            covered.add(cut)
            shown.append(Delta(cut, "replace", MASK, MASK))
    return shown


def _walk(path: Path, old: Any, new: Any) -> Iterator[Delta]:
    if _same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(path, old, new)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        yield from _arrays(path, old, new)
    else:
        yield Delta(path, "replace", old, new)


def _objects(path: Path, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Delta]:
    changed = [name for name in old if name not in new or not _same(old[name], new[name])]
    for name in sorted([*changed, *(new.keys() - old.keys())]):
        if name not in new:
            yield Delta((*path, name), "remove", old[name])
        elif name not in old:
            yield Delta((*path, name), "add", None, new[name])
        else:
            yield from _walk((*path, name), old[name], new[name])


def _arrays(path: Path, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Delta]:
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    old_end, new_end = len(old) - end, len(new) - end
    both = min(old_end, new_end)
    for at in range(start, both):
        yield from _walk((*path, at), old[at], new[at])
    for at in reversed(range(both, old_end)):  # from behind: the indices before stay right
        yield Delta((*path, at), "remove", old[at])
    for at in range(both, new_end):
        yield Delta((*path, at), "add", None, new[at])


def _common(old: Sequence[Any], new: Sequence[Any]) -> int:
    length = min(len(old), len(new))
    return next((at for at in range(length) if not _same(old[at], new[at])), length)


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if type(old) is not type(new) and not isinstance(old, (dict, list, tuple)):
        return False
    if old != new:
        return False
    return not isinstance(old, (dict, list, tuple, float)) or _same_json(old, new)


def _same_json(old: Any, new: Any) -> bool:
    if orjson.dumps(old) == orjson.dumps(new):
        return True  # nearly always: what did not change has its members in the same order
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(old, option=sort) == orjson.dumps(new, option=sort)


def _first_secret(path: Path, secret: Callable[[Path], bool]) -> Path | None:
    prefixes = (path[:length] for length in range(len(path) + 1))
    return next((prefix for prefix in prefixes if secret(prefix)), None)


def _masked(value: Any, path: Path, secret: Callable[[Path], bool]) -> Any:
    if secret(path):
        return MASK
    if isinstance(value, dict):
        return {name: _masked(member, (*path, name), secret) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(member, (*path, at), secret) for at, member in enumerate(value)]
    return value
