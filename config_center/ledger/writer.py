"""The group commit of one ledger: all that wait become one chain, one transaction, one script."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from client_sdk.errors import NotVerified
from client_sdk.records import Header, Position, Record
from client_sdk.waiting import ended
from config_center.journal import JournalDown
from config_center.ledger.words import Committed, Mode
from config_center.problems import Problem, not_found
from config_center.store.base import Committed as StoreCommitted
from config_center.store.base import (
    Conflict,
    Duplicate,
    Empty,
    NewHistory,
    OutcomeUnknown,
    Pending,
    StoreDown,
    StoreRefused,
)

if TYPE_CHECKING:
    from client_sdk.image import Ring
    from client_sdk.state import NamespaceState
    from config_center.ledger.ledger import Ledger
from config_center.ledger.words import Draft, Planned

_QUEUE = 1000
_BATCH = 200
_TRIES = 20
# Whoever committed last could commit again at once, while a center that lost still reads what he
# did, and so on without end. So the loser leaves word, and the winner pauses for it between rounds.
_GIVE_WAY = 0.05  # seconds
_RECOVER_EVERY = 0.2


@dataclass(slots=True)
class _Waiting:
    draft: Draft
    answer: asyncio.Future[Committed]
    is_first: bool

    def refuse(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class _Refusal:
    """A plan said no, looking at the state whose chain value is ``judged_on``."""

    waiting: _Waiting
    error: Exception
    judged_on: bytes

    def say(self) -> None:
        self.waiting.refuse(self.error)


@dataclass(slots=True)
class _Step:
    """One draft that was planned and signed in this round."""

    waiting: _Waiting
    pending: Pending
    result: Any
    ring: Ring

    @property
    def record(self) -> Record:
        return self.pending.record


class Writer:
    """Owns the queue of drafts and the one task that serves it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._wanted = False
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(_QUEUE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start serving."""
        self._task = asyncio.create_task(self._serve(), name=f"writer of {self._ledger.ns}")

    async def close(self) -> None:
        """Stop serving; whoever waits is told that the center stops, or the namespace ended."""
        await ended(self._task)
        deleted = self._ledger.mode is Mode.ENDED  # then no other center takes it either
        while not self._queue.empty():
            self._queue.get_nowait().refuse(self._ledger.problem() if deleted else _stopping())

    async def submit(self, draft: Draft) -> Committed:
        """
        Queue a draft and wait for its outcome. A caller that is cancelled meanwhile leaves the
        draft to its fate: it may be committed, and asking by its id tells.
        """
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future(), draft.minted)
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Problem(
                "busy",
                f"{_QUEUE} changes wait for {self._ledger.ns} already; try again in a second",
                headers={"Retry-After": "1"},
            ) from None
        return await waiting.answer

    async def _serve(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                async with self._ledger.lock:
                    await self._round(batch)
                if self._wanted:
                    self._wanted = False
                    await asyncio.sleep(_GIVE_WAY)
            except asyncio.CancelledError:
                for waiting in batch:
                    waiting.refuse(_unknown(waiting.draft.id))
                raise
            except Exception as error:  # the writer must outlive any one batch
                for waiting in batch:
                    waiting.refuse(error)

    async def _round(self, batch: list[_Waiting]) -> None:
        for _ in range(_TRIES):
            batch = [waiting for waiting in batch if not waiting.answer.done()]
            if not batch:
                return
            if self._ledger.mode is not Mode.READY:
                break
            try:
                await self._attempt(batch)
            except NotVerified as error:
                self._ledger.set_mode(Mode.TAMPERED, str(error))
        for waiting in batch:
            ready = self._ledger.mode is Mode.READY
            waiting.refuse(_busy(self._ledger.ns) if ready else self._ledger.problem())

    async def _attempt(self, batch: list[_Waiting]) -> None:
        steps, state, refused = await self._sign(batch)
        # Memory may be behind another center: a "no" is given only on the present.
        if refused and await self._is_behind():
            await self._ledger.refresh()
            return
        # A change of this batch is not the present before it is committed: it may yet be lost.
        for refusal in refused:
            if refusal.judged_on == self._ledger.state.c:
                refusal.say()
        if steps:
            await self._commit(steps, state)
        if self._ledger.state.c == state.c:
            for refusal in refused:
                refusal.say()

    async def _sign(
        self, batch: list[_Waiting]
    ) -> tuple[list[_Step], NamespaceState, list[_Refusal]]:
        state = self._ledger.state
        steps: list[_Step] = []
        refused: list[_Refusal] = []
        seen: set[str] = set()
        for waiting in batch:
            draft = waiting.draft
            if draft.id in seen:
                continue  # the same change twice in one batch: the next attempt answers it
            try:
                if not await self._is_answered(waiting):
                    self._require_no_end(steps)
                    step, state = self._plan(waiting, state)
                    steps.append(step)
                    seen.add(draft.id)
            except Exception as error:  # whatever a plan raises belongs to whoever asked
                refused.append(_Refusal(waiting, error, state.c))
        return steps, state, refused

    async def _is_answered(self, waiting: _Waiting) -> bool:
        draft = waiting.draft
        known = None if waiting.is_first else await self._ledger.find(draft.id)
        waiting.is_first = False  # a later attempt may follow one that reached the store
        if known is None:
            return False
        if known.header.type == "cancel" and draft.type != "cancel":
            raise Problem("cancelled", "this change was cancelled; publish it under a new id")
        if known.header.req_hash not in (draft.req_hash, *draft.also):
            raise Problem(
                "id-reused",
                f"the idempotency key was used for another request, at {known.position}; "
                "take a new key for a new request",
            )
        waiting.answer.set_result(known)
        return True

    def _require_no_end(self, steps: list[_Step]) -> None:
        """Raise Problem 404 where the record to build on is the namespace's last."""
        ended = steps[-1].record.header.type == "end" if steps else self._ledger.has_ended
        if ended:
            raise not_found(f"the namespace {self._ledger.ns} was deleted")

    def _plan(self, waiting: _Waiting, state: NamespaceState) -> tuple[_Step, NamespaceState]:
        draft, ledger = waiting.draft, self._ledger
        planned = draft.plan(state)
        record, new = sign(ledger, draft, planned, state)
        keys = [op.key for op in planned.ops]
        pending = Pending(record, tuple(new.entries[key] for key in keys), new)
        return _Step(waiting, pending, planned.result, planned.ring), new

    async def _is_behind(self) -> bool:
        head = await self._ledger.store.head(self._ledger.ns)
        return head is not None and head.record.c != self._ledger.state.c

    async def _commit(self, steps: list[_Step], state: NamespaceState) -> None:
        ledger = self._ledger
        records = [step.record for step in steps]
        ring = {dek: wrapped for step in steps for dek, wrapped in step.ring.items()}
        if ring:
            await ledger.store.write_ring(ledger.ns, ring)
            ledger.ring = {**ledger.ring, **ring}
        try:
            await ledger.journal.intend(ledger.ns, records, ring)
        except JournalDown as error:
            ledger.doubt = str(error)
            self._refuse(steps, error)
            return
        ledger.doubt = ""
        try:
            outcome = await ledger.store.commit(
                ledger.ns, ledger.mark, [step.pending for step in steps]
            )
        except OutcomeUnknown:
            await self._find_out(steps)
            return
        except (StoreDown, StoreRefused) as error:
            await ledger.journal.mark([record.c for record in records], "refused")
            self._refuse(steps, error)
            return
        if isinstance(outcome, StoreCommitted):
            self._wanted = outcome.wanted
            await self._settle(steps, state)
        else:
            await ledger.journal.mark([record.c for record in records], "refused")
            await self._on_lost(steps, outcome)

    async def _settle(self, steps: list[_Step], state: NamespaceState) -> None:
        ledger = self._ledger
        records = [step.record for step in steps]
        try:
            await ledger.journal.mark([record.c for record in records], "committed")
        except JournalDown:
            await self._find_out(steps)
            return
        ledger.believe(state, records[-1], records)
        if ledger.has_ended:  # here, whoever asked for it: before the next round can begin
            ledger.end()
        for step in steps:
            if not step.waiting.answer.done():
                step.waiting.answer.set_result(
                    Committed(step.record.header, step.record.c, step.result)
                )

    async def _on_lost(
        self, steps: list[_Step], outcome: Conflict | Duplicate | NewHistory | Empty
    ) -> None:
        ledger = self._ledger
        if isinstance(outcome, Empty):
            ledger.set_mode(Mode.EMPTY)
            return
        await ledger.refresh()
        if not isinstance(outcome, Duplicate) or await ledger.find(outcome.id) is not None:
            return
        base = await ledger.journal.base(ledger.ns)
        if base is None:
            ledger.set_mode(
                Mode.TAMPERED, f"the store claims a change {outcome.id} that history does not hold"
            )
        for step in steps:  # its row may be pruned, while no later change made the store forget it
            if base is not None and step.record.header.id == outcome.id:
                step.waiting.refuse(_used_before(base))

    async def _find_out(self, steps: list[_Step]) -> None:
        """The reply was lost: tell who asked, and read the store before anything else is built."""
        for step in steps:
            step.waiting.refuse(_unknown(step.waiting.draft.id))
        ledger = self._ledger
        ledger.doubt = "the store did not answer a change"
        try:
            while True:
                await ledger.refresh()
                if ledger.mode is not Mode.UNREACHABLE:
                    return
                while not self._queue.empty():  # they were not sent: no need to wait for this
                    self._queue.get_nowait().refuse(ledger.problem())
                await asyncio.sleep(_RECOVER_EVERY)
        finally:
            ledger.doubt = ""

    def _refuse(self, steps: list[_Step], error: StoreDown | StoreRefused | JournalDown) -> None:
        full = isinstance(error, JournalDown) or (isinstance(error, StoreRefused) and error.full)
        problem = Problem("store-full" if full else "store-unavailable", str(error))
        for step in steps:
            step.waiting.refuse(problem)


def sign(
    ledger: Ledger,
    draft: Draft,
    planned: Planned,
    state: NamespaceState,
    *,
    epoch: int | None = None,
    replay_of: Record | None = None,
) -> tuple[Record, NamespaceState]:
    """
    The record of a plan on ``state``, and the state after it; a replay keeps the time and names the
    place of the record it replays. Raises KeyRefused: nothing is written that nobody would believe.
    """
    ledger.require_key()
    key, old = ledger.key, replay_of  # one key for name and signature: it may be replaced meanwhile
    position = Position(state.position.e if epoch is None else epoch, state.position.v + 1)
    new = state.after(planned.ops, position)
    header = Header(
        ns=ledger.ns,
        e=position.e,
        v=position.v,
        p=state.c,
        type=draft.type,
        id=draft.id,
        req_hash=draft.req_hash,
        ops=planned.ops,
        state=new.digest,
        kid=key.kid,
        ts=time.time_ns() // 1_000_000 if old is None else old.header.ts,
        author=draft.author,
        comment=draft.comment,
        request=draft.request,
        approved_by=draft.approved_by,
        urgent=draft.urgent,
        origin=None if old is None else (*old.position, old.c.hex()),
    )
    contents = [content for op in planned.ops for content in op.contents]
    bodies = {c.sha256: c.body for c in contents if c.body is not None}
    record = Record.issue(header, key, bodies.values())
    return record, replace(new, c=record.c)


def _stopping() -> Problem:
    return Problem("store-unavailable", "the center stops; publish the same again at another")


def _busy(ns: str) -> Problem:
    return Problem("busy", f"other centers change {ns} all the time; try again in a second")


def _used_before(base: Record) -> Problem:
    return Problem(
        "id-reused",
        f"the idempotency key was used for a change before {base.position}, of which this center "
        "keeps no history any more; take a new key for a new request",
    )


def _unknown(change: str) -> Problem:
    return Problem(
        "outcome-unknown",
        f"the store did not answer: the change may or may not be in. Ask GET .../changes/{change}, "
        "or publish the same again with the same Idempotency-Key",
        change=change,
    )
