"""
What a client does with verified states: disk, serving, listeners, reports, in that order.

Laws:

* **On disk before it serves.** What was seen to serve is there after a crash; a disk that refuses
  makes the client ``not durable``, it does not stop it.
* **What is at stake is on disk before what is new.** A change may end this process while it is
  tried, or soon after. So the older entries are written down first (probation.py), and a process
  that starts after two such ends serves them instead.
* **Steps are told in their order**, before anything is awaited after them.
* **A stranger is met later.** Without a center nobody knows whom to trust; the defaults serve, and
  the acquaintance is made as soon as somebody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from client_sdk.data_keys import DataKeys
from client_sdk.driver import Driver, Pending
from client_sdk.errors import NotTrusted, TransportDown, Unavailable
from client_sdk.holding import Holding
from client_sdk.probation import Probation
from client_sdk.probation import restored as resumed
from client_sdk.replica import Replica
from client_sdk.reporting import Reporter
from client_sdk.route import Route
from client_sdk.signing import TrustList, Verifier
from client_sdk.snapshot import Restored, Snapshots
from client_sdk.trust_store import known_trust, learn_trust, renew_trust
from client_sdk.waiting import ended, set_within, to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from client_sdk.holding import Trial
    from client_sdk.keks import Keks
    from client_sdk.outcomes import Outcome
    from client_sdk.plan import Plan
    from client_sdk.serving import Serving
    from client_sdk.state import NamespaceState

log = logging.getLogger(__name__)

_AWAITED = 6  # times the term of probation: for how long a module of before is awaited


class Following:
    """Owns the driver, the reporter and the state directory of one client."""

    def __init__(self, plan: Plan, serving: Serving, tell: Callable[[Outcome], None]) -> None:
        self.driver: Driver | None = None
        self.reporter = Reporter(plan, serving)
        self.durable = True
        self.data_keys = DataKeys()
        self.snapshots = Snapshots(plan.state, plan.namespace, plan.token)
        self._plan = plan
        self._serving = serving
        self._tell = tell
        self._rng = random.Random()
        self._disk = asyncio.Lock()  # snapshots are written one at a time
        self._closed = False  # the directory may be another process's
        self._unwritten: Pending | None = None
        self._unwritten_held: Holding | None = None
        self._probation = Probation()
        self._probation_written = Probation()
        self._ends_well = False  # from then on no death is written down any more
        self._settled = asyncio.Event()
        self._modules: frozenset[str] = frozenset()  # keys that had one, in this process or before
        self._tasks: list[asyncio.Task[None]] = []
        serving.on_outcome = self._take
        serving.on_trial = self._on_trial

    async def begin(self) -> None:
        """
        Restore, follow, wait for the first news, all within the plan's ``timeout``.

        Raises Unavailable, NotTrusted, StateInUse.
        """
        end = time.monotonic() + self._plan.timeout
        self._plan = await asyncio.to_thread(self._plan.ask_command)
        await to_the_end(self.snapshots.open)
        trust, failure = await self._meet(self._plan.timeout)
        if trust is None:
            self._require(self._plan.defaults, failure)
            log.error("whom to trust is not known yet (%s); the defaults serve", failure)
            self._tasks.append(asyncio.create_task(self._meet_later(), name="config acquaintance"))
            return
        restored = await self._follow(trust)
        await self._first_news(end - time.monotonic(), patient=restored.state is None)
        if self._serving.position <= (0, 0):
            self._require(restored.state or self._plan.defaults, self._failure)

    async def close(self, *, clean: bool = True) -> None:
        """Stop; the directory is let go of last. ``clean``: this is no end that a change led to."""
        await ended(*self._tasks)
        if self.driver is not None:
            await self.driver.close()
            await self._note_beat()
        self._ends_well = clean
        if clean:
            await self._on_disk(self._write_probation)
        await self.reporter.close()
        async with self._disk:
            self._closed = True
            await to_the_end(self.snapshots.close)

    def end_well(self) -> None:
        """The process ends, and nobody closed this: what is on probation did not end it."""
        if not self._closed:
            self._ends_well = True
            with contextlib.suppress(OSError):
                self._write_probation()

    # -- beginning ----------------------------------------------------------------------------

    async def _meet(self, within: float) -> tuple[TrustList | None, str]:
        plan = self._plan
        trust = await asyncio.to_thread(known_trust, plan.trust, plan.state)
        if trust is not None:
            return trust, ""
        try:
            return await learn_trust(plan.trust, plan.state, plan.meeting_places(), within), ""
        except TransportDown as error:
            return None, str(error)

    async def _meet_later(self) -> None:
        route = Route(1, self._plan.pace)
        while True:
            await asyncio.sleep(route.lost(0.0, self._rng))
            try:
                trust, failure = await self._meet(self._plan.timing.answer)
            except NotTrusted as error:
                log.error("%s", error)
                continue
            if trust is not None:
                await self._follow(trust)
                return
            log.info("whom to trust is still not known: %s", failure)

    async def _follow(self, trust: TrustList) -> Restored:
        verifier = Verifier(trust, lambda: time.time_ns() // 1_000_000)
        restored = await to_the_end(lambda: self.snapshots.restore(verifier))
        for note in restored.notes:
            log.error("%s", note)
        if restored.state is not None:
            self.data_keys.take(restored.ring, (), restored.state.entries)
            holding = await self._resume(restored.state)
            outcome = await self._serving.restore(restored.state, holding, self._modules)
            self._settle()
            self._tell(outcome)
            self._tasks.append(asyncio.create_task(self._await_no_more(), name="config modules"))
        else:
            await self._on_disk(self.snapshots.kept_back.clear)
        plan = self._plan
        check = plan.timing.check * self._rng.uniform(0.8, 1.2)  # a fleet does not look at once
        replica = Replica(
            plan.namespace,
            verifier,
            state=restored.state,
            mark=restored.mark,
            newest_beat=restored.beat,
            timing=replace(plan.timing, check=check),
        )
        driver = Driver(
            replica,
            plan.transports(),
            self._serve,
            self.reporter.complain,
            lambda document: renew_trust(verifier, plan.state, document),
            head=restored.head,
            pace=plan.pace,
        )
        self.driver = driver
        self.reporter.start(driver)
        driver.start()
        for task, name in ((self._keep_up(), "upkeep"), (self._outlive(), "probation")):
            self._tasks.append(asyncio.create_task(task, name=f"config {name}"))
        return restored

    async def _resume(self, state: NamespaceState) -> Holding:
        """What this process holds back of ``state`` from its start, written down if it is new."""
        files = self.snapshots.kept_back
        notes: list[str] = []
        held, self._modules = await asyncio.to_thread(files.read_held, notes)
        known = await asyncio.to_thread(files.read_probation, notes)
        for note in notes:
            log.error("%s", note)
        self._probation, condemned = known.resumed()
        holding = resumed(held, self._probation, condemned, state, self._modules)
        if condemned:
            keys = sorted(key for case in condemned for key in case.older)
            log.error("processes died of the newest %s: what served before is kept", keys)
            await self._write_held(holding)
        if known.cases:
            await self._on_disk(self._write_probation)
        return holding

    async def _first_news(self, within: float, *, patient: bool) -> None:
        """
        Wait for the present; with something to serve meanwhile only until it is known to be away.
        """
        driver = self.driver
        if driver is None:
            return
        waits = [asyncio.ensure_future(driver.news.wait())]
        if not patient:
            within = min(within, self._plan.timing.patience)
            waits.append(asyncio.ensure_future(driver.alone.wait()))
        try:
            await asyncio.wait(waits, timeout=max(0.0, within), return_when="FIRST_COMPLETED")
        finally:
            await ended(*waits)
        if not driver.news.is_set():
            log.warning("the center was not reached in time: %s", driver.failure)

    @property
    def _failure(self) -> str:
        return "" if self.driver is None else self.driver.failure

    def _require(self, something: Any, failure: str) -> None:
        if not something:
            raise Unavailable(
                f"nothing came from the center ({failure}), there is no snapshot in "
                f"{self._plan.state} and there are no defaults"
            )

    # -- one step -----------------------------------------------------------------------------

    async def _serve(self, pending: Pending) -> None:
        await self._renew_ring(pending)
        self._unwritten = pending
        await self._take(await self._serving.advance(pending.state, pending.changed))
        await self._fold(pending)

    async def _take(self, outcome: Outcome) -> None:
        """Tell what a step did, before anything is awaited: so steps are told in their order."""
        self._tell(outcome)
        self.reporter.tell(outcome)
        if outcome.held or not self._serving.declared <= self._modules:
            self._modules |= self._serving.declared
            await self._write_held(self._serving.holding)

    async def retry(self, *, crashed: bool) -> Outcome:
        """Try again, now, what is held back; ``crashed``: a person asks, also for that."""
        outcome = await self._serving.retry(crashed=crashed)
        await self._take(outcome)
        return outcome

    @contextlib.asynccontextmanager
    async def _on_trial(
        self, trial: Trial, fresh: bool, changed: frozenset[str] | None
    ) -> AsyncIterator[None]:
        """Around each step: what must be on disk before it, and from when on it is outlived."""
        probation = self._probation.renewed(changed or ())
        self._probation = probation.begin(trial.tried, self._serving.declared, fresh=fresh)
        known = self._serving.holding.groups
        if any(group.asleep and group not in known for group in trial.holding.groups):
            # Before the snapshot: half of a change would serve after a crash in between.
            await self._write_held(Holding((*trial.holding.groups, *trial.tried)))
        pending = None
        if changed is not None:  # else it is not what waits to be written that is tried
            pending, self._unwritten = self._unwritten, None
        if pending is not None:
            await self._write(pending)
        elif self._probation.cases:
            await self._on_disk(self._write_probation)
        try:
            yield
        finally:
            self._settle()

    def _settle(self) -> None:
        until = time.monotonic() + self._plan.timing.probation
        self._probation = self._probation.settled(self._serving.holding, until)
        self._settled.set()

    # -- the disk -----------------------------------------------------------------------------

    async def _write(self, pending: Pending) -> None:
        beat = 0 if self.driver is None else self.driver.replica.newest_beat

        def write() -> None:
            self._write_probation()
            if self._unwritten_held is not None:
                self._write_all_held(self._unwritten_held)
            ring = self.data_keys.ring
            self.snapshots.advance(pending.state, pending.records, pending.head, ring, beat)

        if await self._on_disk(write) and not self.durable:
            self.durable = True
            log.warning("the snapshot is written again; what serves is durable")

    async def _write_held(self, holding: Holding) -> None:
        self._unwritten_held = holding

        def write() -> None:
            self._write_all_held(holding)
            self._write_probation()

        await self._on_disk(write)

    def _write_all_held(self, holding: Holding) -> None:
        self.snapshots.kept_back.write_held(holding, self._modules)
        self._unwritten_held = None

    def _write_probation(self) -> None:
        probation = self._probation
        if probation.cases or self._probation_written.cases:
            self.snapshots.kept_back.write_probation(probation, alive=not self._ends_well)
            self._probation_written = probation

    async def _fold(self, pending: Pending) -> None:
        if self.snapshots.due:
            await self._on_disk(lambda: self.snapshots.fold(pending.state, pending.head))

    async def _note_beat(self) -> None:
        driver = self.driver
        if driver is not None and driver.replica.newest_beat:
            await self._on_disk(lambda: self.snapshots.note_beat(driver.replica.newest_beat))

    async def _on_disk(self, write: Callable[[], None]) -> bool:
        """Write in a thread, also when cancelled; False when the disk refuses."""
        async with self._disk:
            if self._closed:
                return False
            try:
                await to_the_end(write)
            except OSError as error:
                self.durable = False
                log.error("the snapshot cannot be written (%s); serving goes on without it", error)
                return False
        return True

    # -- upkeep -------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Now and then: keep the newest heartbeat, and try again for a ring that was not there."""
        while True:
            await asyncio.sleep(self._plan.timing.report)
            await self._note_beat()
            keks = await asyncio.to_thread(self._plan.kek_ids) if self.data_keys.needed else ()
            if self.data_keys.wants(keks) and await self._read_ring():
                await self.retry(crashed=False)

    async def _outlive(self) -> None:
        """Close each case when it was outlived, so that no later end is blamed on it."""
        while True:
            self._settled.clear()
            nearest = self._probation.nearest
            wait = None if nearest is None else max(0.0, nearest - time.monotonic())
            await set_within(self._settled, wait)
            self._probation = self._probation.outlived(time.monotonic())
            if self._probation != self._probation_written:
                await self._on_disk(self._write_probation)

    async def _await_no_more(self) -> None:
        """A module that was not declared long after the start is none of this process's."""
        await asyncio.sleep(_AWAITED * self._plan.timing.probation)
        self._modules = self._serving.declared
        outcome = await self._serving.await_no_more()
        if outcome is not None:
            await self._take(outcome)

    def keks(self) -> Keks:
        """What opens sealed values now. Raises SettingInvalid."""
        return self._plan.keks()

    async def _renew_ring(self, pending: Pending) -> None:
        """Fetch the ring when a change is sealed under a data key that is not known here."""
        given = pending.ring, pending.changed_bodies(), pending.state.entries
        if pending.changed is None:  # all there is: not on the loop
            await asyncio.to_thread(self.data_keys.take, *given)
        else:
            self.data_keys.take(*given)
        if self.data_keys.lacking:
            await self._read_ring()

    async def _read_ring(self) -> bool:
        driver = self.driver
        if driver is None or driver.transport is None:
            return False
        try:
            ring = await driver.transport.read_ring()
        except TransportDown as error:
            log.warning("the ring could not be read: %s", error)
            return False
        state = driver.replica.state
        self.data_keys.read(ring, () if state is None else state.entries)
        known = self.data_keys.ring
        await self._on_disk(lambda: self.snapshots.keep_ring(known))
        return True
