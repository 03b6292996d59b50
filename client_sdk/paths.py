"""How a place inside a JSON value is written: for people, and as a JSON pointer (RFC 6901)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple["str | int", ...]

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}\Z")


def dotted(path: Iterable[str | int]) -> str:
    """``("providers", 3, "a b")`` as ``.providers[3]["a b"]``; the root is ``""``."""
    return "".join(_step(part) for part in path)


def pointer(path: Iterable[str | int]) -> str:
    """``("a/b", 3)`` as ``/a~1b/3``; the root is ``""``."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.match(part) else f"[{part[:64]!a}]"
