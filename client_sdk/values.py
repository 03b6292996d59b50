"""
Values as they are served, deeply read-only, and the door by which JSON comes in.

**Read-only.** One value is shared by every session of a process, so one careless assignment would
change what all others see. :func:`freeze` makes objects :class:`FrozenDict`, a ``dict`` (json,
orjson and isinstance take it as one), and arrays plain tuples, because orjson refuses subclasses of
tuple. Copies are plain and may be changed: ``copy.deepcopy``, ``pickle``, ``dict(...)``,
:func:`thaw`. An array that is itself the value is a plain tuple, which ``deepcopy`` keeps;
:func:`thaw` makes a list.

**The door.** What one parser takes and another does not must not enter: a duplicate name (orjson
keeps the last, others the first), NaN and infinities, integers beyond 2^53 (JavaScript and every
parser that makes floats of them would change them), lone surrogates, bytes that are not UTF-8,
depth that ends some parsers' stack, and so many parts that reading blocks a loop. Errors name the
place. The standard parser is used because it can see duplicates.
"""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from typing import Any, NoReturn, TypeVar

import orjson

from client_sdk.errors import InvalidValue
from client_sdk.paths import Path, dotted

T = TypeVar("T")

MAX_DEPTH = 32
MIN_INT, MAX_INT = -(2**53 - 1), 2**53 - 1
MAX_NODES = 50_000  # a page of numbers is a few thousand; what is more blocks every reader's loop
_LONGEST_INT = len(str(MIN_INT))


class FrozenDict(dict[str, Any]):
    """A read-only ``dict``. Made by :func:`freeze`, which freezes what is inside as well."""

    __slots__ = ()

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(
            "configuration values are read-only; take copy.deepcopy(value) and change the copy"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, _memo: dict[int, Any]) -> dict[str, Any]:
        return {name: thaw(member) for name, member in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.__deepcopy__({}),)


class _Duplicated(dict[str, Any]):
    """What the parser leaves where an object names a member twice; the walk gives it a path."""

    __slots__ = ("name",)
    name: str


def freeze(value: Any) -> Any:
    """``value`` deeply read-only; the same object when it is so already. Raises InvalidValue."""
    if isinstance(value, FrozenDict) or value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return FrozenDict({name: freeze(member) for name, member in value.items()})
    if isinstance(value, (list, tuple)):
        frozen = tuple([freeze(member) for member in value])
        same = type(value) is tuple and all(map(operator.is_, frozen, value))
        return value if same else frozen
    raise InvalidValue(f"{type(value).__name__} is not a JSON value and cannot be made read-only")


def thaw(value: Any) -> Any:
    """A copy of plain dicts and lists."""
    if isinstance(value, dict):
        return {name: thaw(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(member) for member in value]
    return value


def check_limits(value: T, depth: int = MAX_DEPTH, nodes: int = MAX_NODES) -> T:
    """
    ``value``, when it can travel: JSON types only, at most ``depth`` levels of objects and arrays
    with ``nodes`` values in all.

    Raises InvalidValue with the path of the first thing that cannot.
    """
    _check(value, (), _Room(depth, nodes))
    return value


def parse_json(raw: bytes, depth: int = MAX_DEPTH, nodes: int = MAX_NODES) -> Any:
    """The value of a JSON text, strictly. Raises InvalidValue with line and column, or the path."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"byte {error.start} is not UTF-8; send the text as UTF-8") from error
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise InvalidValue(
            f"line {error.lineno} column {error.colno} is not JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise InvalidValue(f"the value is more than {depth} levels deep") from error
    return check_limits(value, depth, nodes)


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted names, no blanks, UTF-8. Raises InvalidValue."""
    return orjson.dumps(check_limits(value), option=orjson.OPT_SORT_KEYS)


class _Room:
    """How deep, and how many more values."""

    __slots__ = ("depth", "left", "nodes")

    def __init__(self, depth: int, nodes: int) -> None:
        self.depth = depth
        self.nodes = self.left = nodes


def _check(value: Any, path: Path, room: _Room) -> None:
    room.left -= 1
    if room.left < 0:
        raise InvalidValue(f"the value has more than {room.nodes} parts; make several keys of it")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, (dict, list, tuple)):
        _check_members(value, path, room)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue("NaN and infinities are not JSON; use null or a text", dotted(path))
    elif isinstance(value, int):
        if not MIN_INT <= value <= MAX_INT:
            raise InvalidValue(
                "the integer is beyond 2^53 and would be rounded; send it as text", dotted(path)
            )
    elif value is not None:
        raise InvalidValue(f"{type(value).__name__} is not a JSON value", dotted(path))


def _check_members(value: Any, path: Path, room: _Room) -> None:
    if len(path) >= room.depth:
        raise InvalidValue(f"the value is more than {room.depth} levels deep", dotted(path))
    if isinstance(value, _Duplicated):
        raise InvalidValue("the name stands twice in one object", dotted((*path, value.name)))
    if not isinstance(value, dict):
        for at, member in enumerate(value):
            _check(member, (*path, at), room)
        return
    for name, member in value.items():
        if not isinstance(name, str):
            raise InvalidValue(f"the name {name!r:.64} is not a text", dotted(path))
        _check_text(name, path)
        _check(member, (*path, name), room)


def _check_text(text: str, path: Path) -> None:
    try:
        text.isascii() or text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidValue(f"character {error.start} is half of a pair", dotted(path)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    twice = _Duplicated(plain)
    count = Counter(name for name, _ in pairs)
    twice.name = next(name for name in count if count[name] > 1)
    return twice


def _integer(text: str) -> int:
    return int(text) if len(text) <= _LONGEST_INT else MAX_INT + 1
