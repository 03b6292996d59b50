"""
What is served now: the read side, and the live modules behind it.

Reading never awaits and never locks: ``get``, ``unit`` and ``turn`` take one reference and work on
an immutable :class:`Served`. Writing is one step at a time, on the loop: read the new values, build
and prove what is new, then store one reference. What fails is held back with all that came with it
(holding.py), and the older entries serve on with the same old objects. A step that is cancelled at
any await leaves the old :class:`Served` whole and closes exactly what it built.

A value serves only together with its module: where a module is declared, settings that cannot be
built are not served as a plain value either.

An instance is closed when no :class:`Served` that holds it is current or still has a reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from client_sdk import drafts, holding
from client_sdk.drafts import Draft, Entries, Reading, Tried
from client_sdk.errors import NotReady, UsageError
from client_sdk.holding import Holding, Trial
from client_sdk.modules.builder import StepFailed
from client_sdk.modules.doing import in_thread
from client_sdk.modules.handle import ModuleHandle
from client_sdk.modules.spec import Deadlines, ModuleSpec
from client_sdk.modules.workshop import Workshop
from client_sdk.outcomes import (
    MISSING,
    Applied,
    KeyChange,
    Measured,
    Outcome,
    Refusal,
    Resolution,
)
from client_sdk.readers import Readers
from client_sdk.records import START
from client_sdk.served import Served, nothing
from client_sdk.state import NamespaceState
from client_sdk.values import freeze
from client_sdk.views import Turn, Unit, View

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from client_sdk.drafts import Slot
    from client_sdk.modules.spec import Order
    from client_sdk.served import Offer
    from client_sdk.state import Entry

    OnTrial = Callable[[Trial, bool, "frozenset[str] | None"], AbstractAsyncContextManager[None]]

__all__ = [
    "MISSING",
    "Applied",
    "Deadlines",
    "KeyChange",
    "Measured",
    "ModuleHandle",
    "ModuleSpec",
    "Outcome",
    "Refusal",
    "Resolution",
    "Serving",
    "Turn",
    "Unit",
    "View",
]

_READ_ON_LOOP = 64 * 1024  # bytes; decoding and freezing them takes about a millisecond
_log = logging.getLogger(__name__)


class Serving(Readers):
    """
    What is served now.

    ``get``, ``unit``, ``turn`` and what they give are for any thread, all else for the loop.
    ``open_sealed(key, value)`` opens sealed fields or raises SealedValue. The driver sets
    ``on_measured`` (what units report), ``on_outcome`` (what ``declare`` and ``ready`` led to in
    the background) and ``on_trial``: every step but the restart runs inside
    ``on_trial(trial, fresh, changed)``, which is told what is tried, whether for the first time,
    and the keys that have newer content (``None``: it is no newer state that is tried).
    """

    __slots__ = (
        "_awaited",
        "_holding",
        "_instance",
        "_labels",
        "_lock",
        "_moved",
        "_specs",
        "_target",
        "_task",
        "_wake",
        "_whole",
        "_workshop",
        "on_outcome",
        "on_trial",
    )

    def __init__(
        self,
        *,
        instance: str,
        labels: Mapping[str, Any],
        defaults: Mapping[str, Any],
        open_sealed: Callable[[str, Any], Any],
    ) -> None:
        super().__init__(nothing(freeze(dict(defaults))), self._sweep)
        self.on_outcome: Callable[[Outcome], Awaitable[None]] = _untold
        self.on_trial: OnTrial = _unguarded
        self._instance = instance
        self._labels = labels
        self._workshop = Workshop(open_sealed)
        self._specs: dict[str, ModuleSpec] = {}
        self._target = NamespaceState.empty()
        self._whole = True  # no state was given up half way: `changed` is all that differs
        self._holding = Holding()
        self._awaited: frozenset[str] = frozenset()
        self._lock = asyncio.Lock()
        self._moved: asyncio.Future[None] | None = None
        self._wake: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def declared(self) -> frozenset[str]:
        """The keys that a module was declared for."""
        return frozenset(self._specs)

    @property
    def holding(self) -> Holding:
        """The older entries that serve because the newer failed; blank ones serve nothing."""
        return self._holding

    def entries(self) -> Iterable[Entry]:
        """The newest entries of the keys that people write, whether they serve or not."""
        return [entry for key, entry in self._target.entries.items() if not key.startswith("_")]

    def refused(self) -> tuple[Refusal, ...]:
        """What does not serve here, and why, at this moment."""
        held = [one for group in self._holding.groups for one in group.refusals()]
        dead = [one for one in self.current.offer.refused.values() if one.version is None]
        return (*held, *dead)

    # --- writing: the loop -----------------------------------------------------------------------

    def declare(self, spec: ModuleSpec) -> ModuleHandle:
        """
        Declare a module; it is built in the background once there are settings. Raises UsageError.

        Modules declared in one go (without an await between) are tried in one go.
        """
        self.check_open()
        if spec.key in self._specs:
            raise UsageError(f"module {spec.key} is declared already")
        self._specs[spec.key] = spec
        self._awaited -= {spec.key}
        self._wake.add(spec.key)
        self._reconcile_soon()
        return ModuleHandle(self, spec.key)

    async def ready(self, timeout: float = 30.0) -> None:
        """
        Wait until every declared module is built and proven.

        Raises NotReady with step and reason per module: at once when it is known that waiting does
        not help, else after ``timeout`` seconds.
        """
        self._awaited = frozenset()
        for group in self._holding.groups:
            if group.asleep:
                self._wake.update(group.keys)
        self._reconcile_soon()
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while problems := self._problems():
            idle = not self._wake and not self._lock.locked()
            left = end - loop.time()
            if (idle and self._target.position != START) or left <= 0:
                raise NotReady(problems)
            if self._moved is None or self._moved.done():
                self._moved = loop.create_future()
            await asyncio.wait({self._moved}, timeout=left)

    async def restore(
        self, state: NamespaceState, held: Holding, awaited: frozenset[str] = frozenset()
    ) -> Outcome:
        """
        Begin with what an earlier process had: its newest state, what is held back of it (a group
        that is awake for no reason is tried), and the keys that had a module.
        """
        async with self._lock:
            self._awaited = awaited - self._specs.keys()
            kept = tuple(group for group in held.groups if group.asleep or group.why)
            tried = tuple(group for group in held.groups if group not in kept)
            trial = Trial(Holding(kept), tried)
            return await self._step(state, trial, (*state.entries, *held.older))

    async def await_no_more(self) -> Outcome | None:
        """Whatever module was not declared by now is none of this process's; None: all were."""
        async with self._lock:
            keys, self._awaited = self._awaited, frozenset()
            if not any(group.asleep for group in self._holding.groups):
                return None
            trial = holding.wake(self._holding, keys | self._holding.older.keys())
            async with self.on_trial(trial, False, None):
                return await self._step(self._target, trial, ())

    async def advance(
        self, target: NamespaceState, changed: frozenset[str] | None = None
    ) -> Outcome:
        """
        Serve ``target``, whose difference to the target before is ``changed`` (``None``: find out).

        Never raises for what a change holds: the outcome says what is applied and what is refused.
        Raises ClientClosed.
        """
        async with self._lock:
            if changed is None or not self._whole:
                changed = drafts.differing(self._target, target)
            names = frozenset(key for key in changed if not key.startswith("_"))
            first = self._target.position == START
            before = self.current.offer.entry
            trial = holding.begin(self._holding, names, before, first=first, awaited=self._awaited)
            self._whole = False
            # At the first contact nothing older could serve instead.
            async with self.on_trial(Trial(trial.holding) if first else trial, True, names):
                outcome = await self._step(target, trial, names)
            self._whole = True
            return outcome

    async def retry(self, *, crashed: bool = False) -> Outcome:
        """
        Try again, now, what is held back and every module that failed; ``crashed``: also what
        processes died of.
        """
        async with self._lock:
            self._workshop.forget_failures()
            trial = holding.wake_all(self._holding, crashed=crashed)
            async with self.on_trial(trial, crashed, None):
                return await self._step(self._target, trial, ())

    async def close(self, deadline: float = 10.0) -> None:
        """
        Begin no more turns, wait for the open ones, close every module.

        After ``deadline`` seconds modules are closed under turns that are still open (a log line
        says how many), because the process wants to end.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        if self._task is not None:
            self._task.cancel()
        left = await self.dismiss(deadline)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if left:
            _log.warning("modules are closed while %d turns are still open", left)
        await self._workshop.close(max(end - loop.time(), min(1.0, deadline)))
        self._moved_on()

    # --- one step --------------------------------------------------------------------------------

    async def _step(self, target: NamespaceState, trial: Trial, keys: Iterable[str]) -> Outcome:
        """Serve what can be served of ``target``; ``keys`` may differ, beside those held."""
        self.check_open()
        self._loop = asyncio.get_running_loop()
        candidates = {*keys, *self._holding.older}
        try:
            while True:
                candidates.update(trial.holding.older)
                entries = Entries.of(target, trial.holding)
                tried = await self._tried(entries, candidates)
                self.check_open()
                if not tried.failures:
                    return self._swap(target, trial.holding, tried)
                trial = trial.after(tried.failures, entries.get)
        finally:
            self._workshop.release()
            self._sweep()
            self._moved_on()

    async def _tried(self, entries: Entries, candidates: Iterable[str]) -> Tried:
        before = self.current
        touched = entries.differing(before, candidates)
        if drafts.weight(touched.values()) > _READ_ON_LOOP:
            reading: Reading = await in_thread(lambda: drafts.read(touched))
        else:
            reading = drafts.read(touched)
        rolling = drafts.rolling_after(before.offer, reading)
        mine = (one for one in rolling.values() if one.rollout.unit == "instance")
        own = {one.rollout.id: one.decide(self._instance, self._labels) for one in mine}
        draft = Draft(entries, before.offer, reading, rolling, own, dict(self._specs))
        tried = Tried(touched, draft, list(reading.failures))
        if not tried.failures:
            await self._fill(tried)
        return tried

    async def _fill(self, tried: Tried) -> None:
        """Get every instance of the draft: new ones are built and proven, all at once."""
        serving = self.current.offer.modules

        async def fill(slot: Slot, order: Order) -> None:
            previous = serving.get(slot[0])
            try:
                tried.made[slot] = await self._workshop.get(order, previous and previous.live)
            except StepFailed as failed:
                refusal = tried.draft.refusal(slot, failed.step, failed.reason)
                _log.warning("module %s is refused: %s", slot[0], refusal)
                if order.content is None:
                    tried.dead[slot] = refusal
                else:
                    tried.failures.append(refusal)

        orders = tried.draft.orders()
        await asyncio.gather(*(fill(slot, order) for slot, order in orders.items()))

    def _swap(self, target: NamespaceState, held: Holding, tried: Tried) -> Outcome:
        known = self._holding.groups
        fresh = [group for group in held.groups if not any(group is one for one in known)]
        refusals = [one for group in held.groups for one in group.refusals()]
        dead = {key: refusal for (key, _), refusal in tried.dead.items()}
        tried.draft.without(key for key, name in tried.dead if name is None)
        nothing = {one.key: one for one in refusals if one.key not in tried.draft.values} | dead
        before, after = self.current, Served(tried.draft.finish(tried.made, nothing))
        # A default that no module can be made of comes and goes without an entry.
        keys = {*tried.touched, *dead, *before.offer.refused}
        first = self._target.position == START
        outcome = Outcome(
            applied=drafts.applied(before, tried.touched),
            refused=(*(one for g in fresh for one in g.refusals()), *tried.dead.values()),
            changes=drafts.changes(before, after, keys, first=first),
            touched=frozenset(tried.touched),
            held=held != self._holding,
        )
        self._target, self._holding = target, held
        self.show(after)
        return outcome

    def _sweep(self) -> None:
        self._workshop.sweep(self.in_use())

    # --- in the background -----------------------------------------------------------------------

    def _reconcile_soon(self) -> None:
        """Begin to build what was declared; without a loop yet, the first step will."""
        if not self._wake or (self._task is not None and not self._task.done()):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = loop.create_task(self._reconcile())

    async def _reconcile(self) -> None:
        while self._wake:
            await asyncio.sleep(0)  # modules declared in one go are tried in one go
            try:
                async with self._lock:
                    keys, self._wake = self._wake, set()
                    trial = holding.wake(self._holding, keys, self._awaited)
                    async with self.on_trial(trial, False, None):
                        outcome = await self._step(self._target, trial, ())
                await self.on_outcome(outcome)
            except Exception:  # a boundary: nobody awaits this task
                _log.exception("declared modules could not be taken into service")

    def _moved_on(self) -> None:
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)

    def _problems(self) -> dict[str, str]:
        offer = self.current.offer
        missing = [key for key in self._specs if key not in offer.modules]
        return {key: self._problem(offer, key) for key in missing}

    def _problem(self, offer: Offer, key: str) -> str:
        if key in offer.refused:
            return str(offer.refused[key])
        if key not in offer.declared:
            return "it is not built yet"
        return "there is no such key, and no default"


async def _untold(_: Outcome) -> None:
    """Before there is a driver."""


def _unguarded(*_: object) -> AbstractAsyncContextManager[None]:
    return contextlib.nullcontext()
