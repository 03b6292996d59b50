"""
Taking away what may go, beside the publishes: one task for all namespaces of a center.

What may go is decided by retention.py; how a journal stays whole meanwhile is journal_base.py's.
Here is the pace: everything is done in steps of a few milliseconds, each a transaction of its own
in the journal's thread, with a pause behind it, so a publish waits for one step at most. A step
leaves the journal whole, so the task can be cancelled, or the process killed, between any two.

A namespace is looked after only while its head was verified in the store (READY): what the store
may lack is never taken away. What goes wrong is said, and tried again in the next round; nothing
here ever stops a publish.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from client_sdk.errors import ConfigError, NotVerified
from client_sdk.image import Image, decode_row
from client_sdk.records import START
from client_sdk.state import NamespaceState
from config_center import journal_base as base
from config_center.ledger.words import Mode
from config_center.retention import (
    DAY_MS,
    due_rows,
    due_versions,
    is_worth_it,
    needed_versions,
    unneeded_bodies,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from client_sdk.records import Position, Record
    from client_sdk.signing import Verifier
    from client_sdk.state import Entry
    from config_center.journal import Journal
    from config_center.ledger.ledger import Ledger
    from config_center.retention import Keep

T = TypeVar("T")

log = logging.getLogger(__name__)

_ROWS = 50  # in one step
_ENTRIES = 200
_PAGES = 256
_PAUSE = 0.01  # seconds; a publish that waits comes first


@dataclass(slots=True)
class JournalSize:
    """What the last round saw: the file's bytes, and what each namespace has in it."""

    file_bytes: int
    namespaces: dict[str, base.Figures]


class Pruner:
    """``keep`` says what stays; ``clock_ms`` gives milliseconds since 1970."""

    def __init__(
        self,
        journal: Journal,
        verifier: Verifier,
        keep: Keep,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.size = JournalSize(0, {})
        self._journal = journal
        self._verifier = verifier
        self._keep = keep
        self._collected_at: dict[str, int] = {}
        self._looked_through_at: dict[str, int] = {}
        self._touched: dict[str, set[str]] = {}
        self._clock_ms = clock_ms

    async def run(self, ledgers: Mapping[str, Ledger], every: float) -> None:
        """Round after round, ``every`` seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            for ns, ledger in list(ledgers.items()):
                await self._attempt(ns, self.prune(ledger))
            await self._attempt("all", self.measure(ledgers))

    async def _attempt(self, ns: str, work: Awaitable[None]) -> None:
        try:
            await work
        except NotVerified as error:
            log.error("the journal of %s is not pruned: %s", ns, error)
        except ConfigError as error:
            log.info("the journal of %s is not pruned now: %s", ns, error)
        except Exception:  # the task must outlive whatever one round met
            log.exception("pruning the journal of %s failed", ns)

    async def prune(self, ledger: Ledger) -> None:
        """
        One round over one namespace. Raises JournalDown, the errors of the store, or NotVerified
        for a journal that somebody edited: nothing of it is taken away then.
        """
        if ledger.mode is not Mode.READY:
            return
        await self._mend(ledger)
        cut = await self._move_base(ledger)
        if cut is not None:
            await self._all(partial(base.let_go, ns=ledger.ns, below=cut, limit=_ROWS))
        await self._drop_beside(ledger)
        await self._drop_versions(ledger)
        await self._collect(ledger)

    async def measure(self, ledgers: Mapping[str, Ledger]) -> None:
        """Give free pages back, and look how large the journal is."""
        before = -1
        while (left := await self._step(partial(base.shrink, pages=_PAGES))) and left != before:
            before = left
        found = {ns: await self._step(partial(base.figures, ns=ns)) for ns in list(ledgers)}
        self.size = JournalSize(await self._step(base.file_bytes), found)

    # -- the base ---------------------------------------------------------------------------------

    async def _mend(self, ledger: Ledger) -> None:
        """Plant the base anew where no row leads from it to the head, and clear what was before."""
        ns = ledger.ns
        hole = await self._step(partial(base.damage, ns=ns))
        if hole is not None:
            state, head = ledger.state, ledger.head
            assert head is not None  # a namespace that is READY has one
            entries = list(state.entries.values())
            for at in range(0, max(1, len(entries)), _ENTRIES):
                part = entries[at : at + _ENTRIES]
                await self._step(partial(base.plant_part, ns=ns, entries=part, first=at == 0))
            if await self._step(partial(base.plant, ns=ns, head=head.c, hole=hole)):
                log.info("the journal of %s begins anew at %s", ns, state.position)
        await self._all(partial(base.clear_old_base, ns=ns, limit=_ENTRIES))

    async def _move_base(self, ledger: Ledger) -> Position | None:
        """Move it over the rows that are due; what lies below the answer may go."""
        ns, now, keep = ledger.ns, self._clock_ms(), self._keep
        figures = await self._step(partial(base.figures, ns=ns))
        total = figures.rows
        if not is_worth_it(total - keep.rows, keep):
            return None
        cut, state = START, None
        while True:
            found = await self._step(partial(base.oldest_rows, ns=ns, after=cut, limit=_ROWS))
            due = due_rows([aged for aged, _ in found], total, ledger.state.position, now, keep)
            if not due:
                return None if cut == START else cut
            rows = [record for _, record in found[:due]]
            total, cut = total - due, rows[-1].position
            state = state or await self._base_state(ns)
            above = [row for row in rows if row.position > state.position]
            moved = await self._advance(ns, state, above) if above else state
            if moved is None:  # history was put back meanwhile: the next round looks anew
                return None
            state = moved

    async def _advance(
        self, ns: str, state: NamespaceState, rows: Sequence[Record]
    ) -> NamespaceState | None:
        before = None if state.position == START else state.c
        new, changed = await asyncio.to_thread(self._follow, state, rows)
        self._touched.setdefault(ns, set()).update(entry.key for entry in changed)
        move = partial(base.advance, ns=ns, before=before, to=new.c, entries=changed)
        return new if await self._step(move) else None

    async def _base_state(self, ns: str) -> NamespaceState:
        head = await self._journal.base(ns)
        if head is None:
            return NamespaceState.empty()
        rows: list[tuple[str, bytes]] = []
        while True:
            after = rows[-1][0] if rows else ""
            part = await self._step(partial(base.entries_part, ns=ns, after=after, limit=_ENTRIES))
            rows += part
            if len(part) < _ENTRIES:
                break

        def prove() -> NamespaceState:
            entries = tuple(decode_row(row) for _, row in rows)
            return Image(head, entries).prove(ns, self._verifier.past)

        return await asyncio.to_thread(prove)

    def _follow(
        self, state: NamespaceState, rows: Sequence[Record]
    ) -> tuple[NamespaceState, list[Entry]]:
        """The state after ``rows``, each proven, and the entries that they changed."""
        keys = {op.key for row in rows for op in row.header.ops}
        verifier = self._verifier.past  # it is our own disk, and what was verified lies on it
        for row in rows:
            if row.header.p != state.c or not row.verify(verifier):
                raise NotVerified(f"its row {row.position} does not follow {state.position}")
            state = state.after(row.header.ops, row.position, row.c)
            if state.digest != row.header.state:
                raise NotVerified(f"its row {row.position} leads to another state than was signed")
        return state, [state.entries[key] for key in sorted(keys)]

    # -- what goes --------------------------------------------------------------------------------

    async def _drop_beside(self, ledger: Ledger) -> None:
        before = self._clock_ms() - self._keep.oldest_row_ms
        head = ledger.state.position
        gone = partial(base.let_go_beside, ns=ledger.ns, before_ms=before, head=head, limit=_ROWS)
        await self._all(gone)

    async def _drop_versions(self, ledger: Ledger) -> None:
        """Of keys whose rows have left history; of all once a day, because versions age."""
        ns, now = ledger.ns, self._clock_ms()
        keys: Iterable[str] = self._touched.pop(ns, set())
        if now - self._looked_through_at.get(ns, 0) >= DAY_MS:
            self._looked_through_at[ns] = now
            keys = list(ledger.state.entries)
        for key in keys:
            entry = ledger.state.entries.get(key)  # as of now: a round takes its time
            if entry is not None and entry.latest > self._keep.versions:
                await self._drop_versions_of(ns, entry)

    async def _drop_versions_of(self, ns: str, entry: Entry) -> None:
        found = await self._step(partial(base.aged_versions, ns=ns, key=entry.key))
        now = self._clock_ms()
        if not due_versions(found, needed_versions(entry, None), now, self._keep):
            return
        content = entry.content
        below = None if content is None else content.rollback_of or content.version
        back = await self._journal.stable_before(ns, entry.key, below)
        due = due_versions(found, needed_versions(entry, back), now, self._keep)
        for at in range(0, len(due), _ROWS):
            part = due[at : at + _ROWS]
            drop = partial(base.drop_versions, ns=ns, key=entry.key, numbers=part, now=now)
            await self._step(drop)

    async def _collect(self, ledger: Ledger) -> None:
        """What lies in the store and nothing there names any more; now and then."""
        now = self._clock_ms()
        if now - self._collected_at.get(ledger.ns, 0) < self._keep.grace * 500:
            return
        self._collected_at[ledger.ns] = now
        await ledger.store.remove_unfinished(ledger.ns, self._keep.grace)
        idle = await ledger.store.idle_bodies(ledger.ns)
        if not any(seconds > self._keep.grace for seconds in idle.values()):
            return
        image = await ledger.store.read_image(ledger.ns)
        rows = await ledger.store.read_log(ledger.ns, START)
        if image is None or rows is None:
            return
        gone = unneeded_bodies(idle, image.entries, rows, self._keep)
        if gone:
            await ledger.store.remove_bodies(ledger.ns, gone, self._keep.grace)

    # -- the pace ---------------------------------------------------------------------------------

    async def _all(self, work: Callable[..., int]) -> None:
        while await self._step(work):
            pass

    async def _step(self, work: Callable[..., T]) -> T:
        done = await self._journal.transact(work)
        await asyncio.sleep(_PAUSE)
        return done
