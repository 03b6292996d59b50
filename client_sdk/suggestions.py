"""Which known names somebody may have meant by an unknown one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """At most ``count`` of ``candidates`` that look like ``name``, the best first."""
    from difflib import get_close_matches  # only needed to explain a mistake

    return tuple(get_close_matches(name[:128], dict.fromkeys(candidates), count))


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The end of an error message: ``; did you mean llm?``, or nothing."""
    names = nearest(name, candidates)
    return f"; did you mean {' or '.join(names)}?" if names else ""
