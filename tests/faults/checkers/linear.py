"""
Could one register, changed at one moment each, have given these answers?

The search of Wing and Gong with Lowe's memory of what was tried ("Testing for linearizability",
2017; Porcupine does the same for etcd). The register is one key: its version, changed only by
compare-and-set. An answer "done" must have found the expected version, an answer "conflict" must
have found another, and an attempt without an answer may take effect at any time after it began, or
never. Several keys are several histories: a register is linearizable by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DONE, CONFLICT, UNKNOWN = "done", "conflict", "unknown"
NEVER = float("inf")


@dataclass(frozen=True)
class Attempt:
    """``expected`` -> ``expected + 1``, asked at ``begun``, answered at ``ended`` (seconds)."""

    begun: float
    ended: float
    expected: int
    answer: str


def is_linearizable(attempts: Sequence[Attempt], version: int = 0) -> bool:
    """True when some order of the moments explains every answer, beginning at ``version``."""
    ordered = sorted(attempts, key=lambda attempt: attempt.begun)
    needed = sum(1 << n for n, attempt in enumerate(ordered) if attempt.answer != UNKNOWN)
    waiting = [(0, version)]
    tried = {(0, version)}
    while waiting:
        done, now = waiting.pop()
        if done & needed == needed:
            return True
        for number in _possible_next(ordered, done):
            after = _answered(ordered[number], now)
            if after is None:
                continue
            reached = (done | 1 << number, after)
            if reached not in tried:
                tried.add(reached)
                waiting.append(reached)
    return False


def _possible_next(ordered: Sequence[Attempt], done: int) -> list[int]:
    """Those that may come next: none may begin after another, still to come, has ended."""
    bound = NEVER
    possible = []
    for number, attempt in enumerate(ordered):
        if attempt.begun > bound:
            break
        if not done >> number & 1:
            possible.append(number)
            bound = min(bound, NEVER if attempt.answer == UNKNOWN else attempt.ended)
    return possible


def _answered(attempt: Attempt, now: int) -> int | None:
    """The version after it, or None when the register would not have given this answer."""
    if attempt.answer == CONFLICT:
        return None if now == attempt.expected else now
    return now + 1 if now == attempt.expected else None
