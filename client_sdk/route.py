"""
Which path to take next, and when: pure.

Laws:

* The paths are in order of preference. One that fails three times in a row gives way to the next,
  around and around; one that shows it cannot help (a refused token, an older store, a damaged one)
  gives way at once.
* Waiting is *full jitter*: anywhere between nothing and a bound that doubles from ``base`` to
  ``cap``, so that a thousand clients which lost the same center do not come back in the same
  moment. (M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.) A center that
  names a time is given that time before the jitter begins, up to ``longest``, and the jitter is
  then at least as long: those whom it sent away together are not to come together. What one center
  asks for is not asked for by the next path. ``cap`` is how long the last client is away after
  everything is well again. At 2.5 s, 2,000 clients come back at no more than 155 in any tenth of a
  second and 99 % within 2.3 s; at 5 s at no more than 108, within 4.5 s: a store takes either, and
  nobody waits twice as long for a rollback.
* Until one of them worked for the first time nothing is known in favour of any: each failure gives
  way, and the first round goes without waiting, so a client that starts finds the path that works.
* A link that held for ``steady`` seconds forgives everything before it.
* Off the preferred path the better ones are *scouted*: one that stayed good for ``proof`` seconds
  is taken, without dropping the present one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Seconds: the first and the longest wait of our own, what counts as steady, what as proof, and
    the longest that a center may ask for.
    """

    base: float = 0.5
    cap: float = 2.5
    steady: float = 10.0
    proof: float = 60.0
    longest: float = 30.0


@dataclass(slots=True)
class Route:
    """
    The choice among ``paths`` paths; ``at`` is the index of the one to take.

    ``reached`` is set by whoever drives, when a path worked for the first time.
    """

    paths: int
    pace: Pace
    at: int = 0
    reached: bool = False
    _failures: int = 0
    _in_a_row: int = 0

    @property
    def all_failed(self) -> bool:
        """True when every path was tried since the last that worked, and none did."""
        return self._failures >= self.paths

    def lost(
        self,
        lasted: float,
        rng: random.Random,
        *,
        hopeless: bool = False,
        retry_after: float = 0.0,
    ) -> float:
        """A link ended after ``lasted`` seconds: choose the next and say how long to wait."""
        if lasted >= self.pace.steady:
            self._failures = self._in_a_row = 0
        self._failures += 1
        self._in_a_row += 1
        asked, before = min(max(retry_after, 0.0), self.pace.longest), self.at
        if hopeless or not self.reached or self._in_a_row >= _PATIENCE:
            self.at = (self.at + 1) % self.paths
            self._in_a_row = 0
        if not self.reached and not self.all_failed:
            return 0.0
        bound = min(self.pace.cap, self.pace.base * 2 ** min(self._failures - 1, 16))
        if self.at != before:
            asked = 0.0
        return asked + rng.uniform(0.0, max(bound, asked))

    @property
    def better(self) -> range:
        """The paths that are preferred to the present one."""
        return range(self.at)

    def moved(self, to: int) -> None:
        """A better path proved good and is taken."""
        self.at = to
        self._failures = self._in_a_row = 0
