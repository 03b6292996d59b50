"""
One round: a fault, a seed, traffic all the time, and the same judges for whatever is under it.

Laws:

* **A dead round proves nothing.** The round measures its own traffic outside of the fault; with
  less than the scale asks for it is void, and void is not passed.
* **Nothing is timed on a machine that stands still.** From the fault until everybody is back the
  round measures the longest pause of its own loop; with one of a second it is void too. A void
  round is played again with the next seed, but what was lost or went back stays wrong: no pause
  excuses that.
* **A judge that cannot say no proves nothing.** Every fault names a broken variant; the same round
  with it must be refused (:attr:`Row.caught`).
* The seed decides every choice that the harness makes (when, how long, which bytes). What the
  machine does in between is its own; a seed repeats the round, not the microseconds.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checkers.watch import check, doubled, lost
from tests.faults.kinds.base import Fault
from tests.faults.pauses import pauses
from tests.faults.scale import Scale
from tests.faults.systems.base import System
from tests.faults.systems.naive import naive
from tests.faults.systems.ours import ours
from tests.faults.traffic import Traffic
from tests.faults.world import World, world
from tests.until import until

_BROKEN_TRIES = 4
_BROKEN_BOUND = 1.0  # nothing in a broken variant would help it later
_PAUSE = 1.0  # seconds: all that is promised within a time is measured with more than that to spare
_TIMED = ("slow", "silent", "reliable")


class Pace:
    """Acknowledged publishes a second, outside of the fault."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._count, self._seconds = 0, 0.0
        self.go_on()

    def go_on(self) -> None:
        """Measure from now on."""
        self._from = len(self._traffic.acknowledged), time.monotonic()

    def pause(self) -> None:
        """Measure no more."""
        count, since = self._from
        self._count += len(self._traffic.acknowledged) - count
        self._seconds += time.monotonic() - since

    @property
    def rate(self) -> float:
        """What was measured."""
        return self._count / self._seconds


@dataclass
class Row:
    """What one round found. ``converged``: seconds from healing until everybody had the present."""

    fault: str
    seed: int
    rate: float = 0.0
    acknowledged: int = 0
    attempts: int = 0
    converged: float | None = None
    noticed: float | None = None
    paused: float = 0.0
    void: bool = False
    wrong: list[str] = field(default_factory=list)
    caught: str = ""
    harmless: bool = False

    def count(self, *rules: str) -> int:
        """How often these rules were broken."""
        return sum(wrong.startswith(tuple(f"{rule}:" for rule in rules)) for wrong in self.wrong)

    @property
    def lost(self) -> int:
        """Acknowledged changes that are nowhere."""
        return self.count("lost")

    @property
    def backward(self) -> int:
        """Steps back, or mixtures of two changes."""
        return self.count("ordered", "resumable", "backward", "atomic", "unique")

    @property
    def proven(self) -> list[str]:
        """What is wrong also when nothing could be timed."""
        timed = _TIMED if self.void else ()
        return [wrong for wrong in self.wrong if wrong.partition(":")[0] not in timed]

    @property
    def passed(self) -> bool:
        """Nothing wrong, enough traffic, and the broken variant was refused."""
        return not self.wrong and not self.void and bool(self.caught) != self.harmless


async def play_until_measured(fault: Fault, scale: Scale, seed: int, tries: int = 5) -> list[Row]:
    """
    As :func:`play`; a round that is void, and did nothing wrong but late, is played again with the
    next seed. The last row counts.
    """
    rows = [await play(fault, scale, seed)]
    while rows[-1].void and not rows[-1].proven and len(rows) < tries:
        rows.append(await play(fault, scale, seed + len(rows)))
    return rows


async def play(fault: Fault, scale: Scale, seed: int) -> Row:
    """The round with our system, and then, if it was one, with the broken variant."""
    row = await _round(fault, scale, seed, broken=False)
    row.harmless = fault.harmless
    if row.void:
        return row
    for again in range(_BROKEN_TRIES):
        # What it breaks by may need a moment that does not come in every round.
        other = await _round(fault, scale.less(), seed + again, broken=True)
        if other.proven:
            row.caught = other.proven[0]
            break
        if fault.harmless and not other.void:
            break
    else:
        row.void = other.void
    return row


async def _round(fault: Fault, scale: Scale, seed: int, *, broken: bool) -> Row:
    rng = random.Random(f"{fault.number}-{seed}")
    row = Row(fault.number, seed)
    async with (
        world(scale, rng, replica=fault.replica) as made,
        _system(fault, made, broken) as system,
    ):
        traffic = Traffic(system, scale.keys, scale.pause, rng.randrange(2**32))
        made.system, made.traffic = system, traffic
        traffic.start()
        pace = Pace(traffic)
        await traffic.reach(scale.before + rng.randrange(scale.before // 2))
        pace.pause()
        bound = _BROKEN_BOUND if broken and not fault.harmless else scale.bound
        async with pauses() as faulty:
            await fault.inject(made)
            healed = time.monotonic()
            await traffic.reach(1)
            row.converged = await _converged(traffic, system, bound, healed)
        pace.go_on()
        await traffic.reach(scale.after)
        pace.pause()
        await traffic.stop()
        async with pauses() as settling:
            settled = await _converged(traffic, system, bound, healed)
        evidence = await system.evidence()
    acknowledged = traffic.acknowledged
    row.acknowledged, row.attempts = len(acknowledged), traffic.attempts
    row.rate, row.noticed = pace.rate, made.noticed
    row.paused = max(faulty.longest, settling.longest)
    row.void = row.rate < scale.least or row.paused >= _PAUSE
    row.wrong = [
        *lost(evidence.present, acknowledged),
        *doubled(evidence.present),
        *made.untold,
        *evidence.untold,
        *(wrong for seen in evidence.seen for wrong in check(evidence.history, seen, acknowledged)),
    ]
    if settled is None or row.converged is None or row.converged > scale.bound:
        row.wrong.append(f"slow: not everybody had the present within {bound} s")
    return row


async def _converged(traffic: Traffic, system: System, bound: float, since: float) -> float | None:
    """Seconds since ``since`` until all clients serve what is acknowledged now; None: too long."""
    newest = traffic.newest

    def are_there() -> bool:
        return all(min(system.served(key)) >= number for key, number in newest.items())

    try:
        await until(are_there, bound)
    except TimeoutError:
        return None
    return time.monotonic() - since


@contextlib.asynccontextmanager
async def _system(fault: Fault, made: World, broken: bool) -> AsyncIterator[System]:
    if broken and fault.broken == "naive":
        async with naive(made.store.url, made.reading.url, made.scale) as system:
            yield system
        return
    with tempfile.TemporaryDirectory(prefix="cc-", ignore_cleanup_errors=True) as home:
        async with ours(
            Path(home),
            made.store.url,
            made.reading.url,
            made.scale,
            made.rng,
            centers=fault.centers,
            ack_replicas=fault.ack_replicas,
        ) as system:
            system.idempotent = not broken
            yield system


HEAD = "fault seed     rate/s   acked  lost converged noticed backward  broken variant caught by"


def line(row: Row) -> str:
    """One row for people, under :data:`HEAD`."""
    converged = "-" if row.converged is None else f"{row.converged:.2f} s"
    noticed = "-" if row.noticed is None else f"{row.noticed:.2f} s"
    caught = "(control)" if row.harmless and not row.caught else row.caught[:40] or "NOTHING"
    mark = f"  VOID (paused {row.paused:.2f} s)" * row.void
    mark += f"  {'; '.join(row.wrong)[:200]}" * bool(row.wrong)
    return (
        f"{row.fault:<5} {row.seed:<8} {row.rate:>6.0f} {row.acknowledged:>7} {row.lost:>5} "
        f"{converged:>9} {noticed:>7} {row.backward:>8}  {caught}{mark}"
    )


def table(rows: list[Row]) -> str:
    """All rows, and a line of totals."""
    lines = [HEAD, *map(line, rows)]
    total = sum(row.acknowledged for row in rows)
    passed = sum(row.passed for row in rows)
    lines.append(
        f"total: {len(rows)} rounds, {passed} passed, {total} acknowledged, "
        f"{sum(row.lost for row in rows)} lost, {sum(row.backward for row in rows)} backward or "
        f"mixed; p99 of convergence {_p99([r.converged for r in rows]):.2f} s"
    )
    return "\n".join(lines)


def _p99(values: list[float | None]) -> float:
    known = sorted(value for value in values if value is not None)
    return known[int(len(known) * 0.99)] if known else float("nan")
