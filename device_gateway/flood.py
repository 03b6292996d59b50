"""How much one device may say. Pure: pass `now` in seconds of a clock that nobody sets.

A person speaks at most a sentence a second, and the smallest frame of sound is 5 ms long. What
comes faster is no conversation, and costs: every message takes a moment from the other devices, and
every turn is a request to a provider that somebody pays for. So messages and turns have a bucket
each, and a device that empties one is hung up on. It may come again; a device that is merely broken
is then heard up to there, and no more of it.

Bytes need no bucket: a message is bounded, and so is the number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from client_sdk.allowance import Allowance, Bucket

MESSAGES: Final = Allowance(300.0, 1_500.0)
TURNS: Final = Allowance(2.0, 30.0)


@dataclass(slots=True)
class Flood:
    """What one connection may still say; `turns` as counted when we looked last."""

    messages: Bucket
    begun: Bucket
    turns: int = 0

    @classmethod
    def watch(cls, now: float) -> Flood:
        """A connection that has said nothing yet."""
        return cls(Bucket.full(MESSAGES, now), Bucket.full(TURNS, now))

    def message(self, now: float) -> bool:
        """Count one message; False when it was one too many."""
        return not self.messages.take(now)

    def turn(self, turns: int, now: float) -> bool:
        """Count the turns that a message began, `turns` in all; False: one too many."""
        more, self.turns = turns - self.turns, turns
        return not any(self.begun.take(now) for _ in range(more))
