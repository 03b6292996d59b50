"""
How much of something there may be: a token bucket. Pure; pass ``now`` in seconds of a clock that
nobody sets.

``burst`` at once, then ``rate`` a second; nothing queues. Both programs count with it: the center
whom it lets in, the gateway what a device may say.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """``burst`` at once, then ``rate`` a second."""

    rate: float
    burst: float


@dataclass(slots=True)
class Bucket:
    """Full at first. ``at`` is the time of the newest look at it."""

    allowance: Allowance
    level: float
    at: float

    @classmethod
    def full(cls, allowance: Allowance, now: float) -> Bucket:
        """One that nothing was taken from."""
        return cls(allowance, allowance.burst, now)

    def fill(self, now: float) -> None:
        """Let in what time has brought; a clock that stands still brings nothing."""
        gained = max(0.0, now - self.at) * self.allowance.rate
        self.level = min(self.allowance.burst, self.level + gained)
        self.at = max(self.at, now)

    def take(self, now: float) -> float:
        """Take one: 0.0, or how many seconds until there is one."""
        self.fill(now)
        if self.level >= 1.0:
            self.level -= 1.0
            return 0.0
        return (1.0 - self.level) / self.allowance.rate

    def put_back(self) -> None:
        """What was taken was not used."""
        self.level = min(self.allowance.burst, self.level + 1.0)
