"""How large and how slow a round is: every interval is a parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from client_sdk.route import Pace
from client_sdk.steps import Timing
from config_center.ledger.keeper import Rhythm


@dataclass(frozen=True)
class Scale:
    """
    ``slow``: 1.0 is as in production, 0.1 a tenth of every interval. ``before`` and ``after`` are
    publishes on either side of the fault, ``pause`` the mean rest of a writer in seconds,
    ``least`` publishes a second: with less a round is void; the quick one asks every writer for one
    in four seconds, as so many lie before and after the fault however long it takes. ``bound``:
    seconds within which everybody has to be at the present after healing.
    """

    slow: float
    writers: int
    clients: int
    before: int
    after: int
    pause: float
    least: float
    bound: float

    def less(self) -> Scale:
        """The same intervals with as little traffic as shows a fault: for broken variants."""
        return replace(QUICK, slow=self.slow)

    @property
    def keys(self) -> tuple[str, ...]:
        """One for each writer."""
        return tuple(f"k{number}" for number in range(self.writers))

    @property
    def rhythm(self) -> Rhythm:
        """The centers' intervals."""
        return Rhythm(self.slow, ttl=10, guard_every=20 * self.slow, patience=3 * self.slow)

    @property
    def timing(self) -> Timing:
        """The clients' intervals; a ping on a busy machine needs its time whatever the scale."""
        slow = self.slow
        return Timing(
            silence=2 * slow,
            pong=max(0.3, slow),
            check=30 * slow,
            report=5 * slow,
            answer=max(1.0, 5 * slow),
        )

    @property
    def pace(self) -> Pace:
        """How clients come back."""
        slow = self.slow
        return Pace(0.5 * slow, 2.5 * slow, 10 * slow, 60 * slow)


QUICK = Scale(slow=0.1, writers=8, clients=6, before=60, after=60, pause=0.02, least=2, bound=10)
LONG = Scale(
    slow=1.0, writers=30, clients=2, before=2500, after=3500, pause=0.2, least=50, bound=35
)
