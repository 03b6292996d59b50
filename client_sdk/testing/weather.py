"""What becomes of a message on a bad day: pure; the randomness is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class Fate:
    """How often a message arrives, and whether the next one overtakes it."""

    copies: int = 1
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Weather:
    """
    Shares of messages (0 to 1) that are dropped, doubled, overtaken by the next one; and between
    how many seconds each is delayed. ``drop`` and ``duplicate`` together are at most 1.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)

    def fate(self, rng: random.Random) -> Fate:
        """The fate of one message. Draws two numbers, so the same seed is the same day."""
        luck, order = rng.random(), rng.random()
        copies = 0 if luck < self.drop else 2 if luck < self.drop + self.duplicate else 1
        return Fate(copies, copies > 0 and order < self.reorder)

    def wait(self, rng: random.Random) -> float:
        """
        For how many seconds one message is delayed, and with it all behind it. Draws nothing where
        none is: what is passed on late, or not, by a slow machine would change the fates after it.
        """
        return rng.uniform(*self.delay) if any(self.delay) else 0.0
