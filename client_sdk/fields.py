"""The types of single fields in signed JSON; each raises ValueError and names the culprit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COUNTER = 2**53 - 1  # epochs and revisions stay exact in JavaScript and JSON


def count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNTER:
        raise ValueError(f"{value!r} is not a count")
    return value


def number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r} is not a number")
    return value  # type: ignore[no-any-return]  # checked by type() just above


def text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not a text")
    return value


def one_of(value: Any, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(sorted(allowed))}")
    return str(value)


def hex64(value: Any) -> str:
    hash32(value)
    return str(value)


def hash32(value: Any) -> bytes:
    raw = bytes.fromhex(text(value))
    if len(raw) != 32:
        raise ValueError(f"{value!r} is not 64 hex digits")
    return raw
