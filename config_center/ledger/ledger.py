"""
One namespace: its verified history, and the only one who adds to it here.

The law (docs/protocol.md, C1 to C8):

* **Journal before building.** A head that is not in our journal is never built on; a change is in
the journal (fsynced, ``intent``) before the script that commits it is sent, and ``committed``
(fsynced) before anybody hears 200. So whatever was acknowledged can be proven and replayed by us
alone. * **One writer.** Drafts queue; the writer plans all that wait on one chain of states, signs
them, writes one journal transaction, sends one script, writes one more transaction (group commit).
A draft never waits longer than the round under way plus its own.
* **Nothing is shown before it is committed**: readers and watchers see a change after its row.
* **A lost reply is not a failure.** The change is *unknown*; the ledger reads the store again
before it builds anything, and marks what it finds.
* Everything that moves the head (rounds, learning, adoption) holds one lock, so "the head we know"
  means something.
* **Nothing is built on an end**, not even another epoch: that the newest record is an ``end`` is
  all that tells every center, and ourselves after a restart, that a namespace ended.

Rejected: answering 200 when the script says OK (the store may be lost before the row is written:
the journal would know an intent only), and one script a change (50 writers at 2 fsyncs each).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified
from client_sdk.records import GENESIS, START, Position
from client_sdk.state import NamespaceState
from client_sdk.steps import Mark
from client_sdk.vouching import is_leap
from config_center.journal import JournalDown
from config_center.ledger.proof import check_rows, follow, mark_of, prove
from config_center.ledger.recovery import (
    adopt,
    bring_back,
    rejoin,
    remember,
    require_newer_than_base,
)
from config_center.ledger.rings import all_of_both, is_about_ring, settle
from config_center.ledger.watchers import Watchers
from config_center.ledger.words import Committed, Incomplete, KeyRefused, Mode, TooOld
from config_center.ledger.writer import Writer
from config_center.problems import Problem
from config_center.store.base import OutcomeUnknown, StoreDown, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from client_sdk.image import Image, Ring
    from client_sdk.records import Beat, Record
    from client_sdk.signing import SigningKey, Verifier
    from config_center.journal import Journal
    from config_center.ledger.rings import RingRule
    from config_center.ledger.watchers import Watcher
    from config_center.ledger.words import Draft
    from config_center.store.base import Store, StoredHead

log = logging.getLogger(__name__)

_RECENT = 1000
_MAX_HEARD = 100
_MODE_DETAIL = {
    Mode.STARTING: "the center is still reading {ns}; try again in a moment",
    Mode.UNREACHABLE: "the store cannot be reached; publishing goes on when it is back",
    Mode.EMPTY: "the store holds nothing for {ns}, but this center's journal does: the store was "
    "lost or replaced; nothing is published until its data is back: start it with its files, or "
    "config-center restore --from-journal -n {ns}",
    Mode.TAMPERED: "the store of {ns} holds what was never signed ({reason}); find out who writes "
    "to it, then put it right",
    Mode.INCOMPLETE: "history of {ns} is missing: {reason}",
    Mode.REFUSED: "{reason}",
    Mode.ENDED: "the namespace {ns} was deleted",
}


class Ledger:
    """
    The verified history of one namespace.

    Read ``state``, ``head``, ``mode``, ``ring`` and ``newest_beat`` at will. :meth:`submit` adds to
    it. ``lock`` is held by whoever moves the head.
    """

    def __init__(
        self, ns: str, store: Store, journal: Journal, key: SigningKey, verifier: Verifier
    ) -> None:
        self.ns = ns
        self.store = store
        self.journal = journal
        self.key = key
        self.verifier = verifier
        self.state = NamespaceState.empty()
        self.head: Record | None = None
        self.mode = Mode.STARTING
        self.reason = ""
        self.remembered = False  # the journal was asked for what the store does not tell
        self.doubt = ""  # while the reply to a change is missing; those who ask now wait
        self.ring: Ring = {}
        self.newest_beat: Beat | None = None
        self.watchers = Watchers()
        self.observers: list[Callable[[Record], None]] = []
        self.heard: dict[str, Record] = {}  # by whom: proof of what the store's head lacks
        self.ask_peers: Callable[[Ledger], Awaitable[None]] = _nobody
        self.ring_rule: RingRule = all_of_both
        self.recent: OrderedDict[Position, Record] = OrderedDict()
        self.lock = asyncio.Lock()
        self._writer = Writer(self)

    # -- reading ------------------------------------------------------------------------------

    @property
    def mark(self) -> Mark:
        """Position and chain value of the head we know."""
        return Mark(self.state.position, self.state.c)

    @property
    def has_ended(self) -> bool:
        """Whether the head we know is the namespace's last record."""
        return self.head is not None and self.head.header.type == "end"

    def readiness(self) -> dict[str, str]:
        """Whether the namespace takes changes now, and why not."""
        mode = Mode.UNREACHABLE if self.doubt and self.mode is Mode.READY else self.mode
        return {"mode": mode.value, "reason": self.reason or self.doubt}

    async def find(self, change: str) -> Committed | None:
        """The change of this id in verified history."""
        row = await self.journal.find(self.ns, change)
        return None if row is None else Committed(row.header, row.c, replayed=True)

    def watch(self) -> Watcher:
        """Listen to records and beats from now on; read :meth:`since` after it, then iterate."""
        return self.watchers.add()

    async def since(self, after: Position, limit: int = _RECENT) -> list[Record] | None:
        """Verified records after a position, oldest first; ``None`` when history lacks some."""
        if after == self.state.position:
            return []
        if after in self.recent:
            return [r for p, r in self.recent.items() if p > after][:limit]
        return await self.journal.after(self.ns, after, limit)

    async def body(self, sha256: str) -> bytes | None:
        """A body that this namespace's verified history names, by its hash."""
        return await self.journal.body(self.ns, sha256)

    # -- writing ------------------------------------------------------------------------------

    async def submit(self, draft: Draft) -> Committed:
        """
        Commit a change, or say why not.

        Raises Problem: what the plan raised, ``id-reused``, ``outcome-unknown`` (504, with the id),
        or why the namespace takes no changes now (503).
        """
        self.require_ready()
        return await self._writer.submit(draft)

    def require_ready(self) -> None:
        """Raise the 503 that says why no change is taken now."""
        if self.mode is not Mode.READY:
            raise self.problem()

    def require_key(self) -> None:
        """Raise KeyRefused when clients would not believe what this center signs."""
        trust = self.verifier.trust
        if self.key.kid not in trust.keys:
            raise KeyRefused(self.key.kid, trust.version)

    def problem(self) -> Problem:
        """Why no change is taken now."""
        detail = _MODE_DETAIL[self.mode].format(ns=self.ns, reason=self.reason)
        if self.mode is Mode.ENDED:
            return Problem("not-found", detail)
        name = "busy" if self.mode is Mode.STARTING else self.mode.value
        return Problem(name, detail, headers={"Retry-After": "1"}, namespace=self.ns)

    def set_mode(self, mode: Mode, reason: str = "") -> None:
        """Change the mode, and say it loudly once."""
        if (mode, reason) == (self.mode, self.reason):
            return
        level = logging.INFO if mode in (Mode.READY, Mode.ENDED) else logging.ERROR
        log.log(level, "namespace %s is %s %s", self.ns, mode.value, reason)
        self.mode, self.reason = mode, reason

    def go_on(self) -> None:
        """Take changes again, or never more: the head we know tells."""
        if self.has_ended:
            self.end()
        else:
            self.set_mode(Mode.READY)

    def end(self) -> None:
        """Take no more changes; whoever listens hears the last record and is let go."""
        self.set_mode(Mode.ENDED)
        self.watchers.close_behind("the namespace was deleted")

    # -- following the store (hold the lock) --------------------------------------------------

    async def open(self) -> None:
        """Read journal and store, adopt if the store has a new history, and start the writer."""
        async with self.lock:
            await self.refresh()
            await self.ask_peers(self)
            if await self._is_store_behind():  # a peer has what nobody looked for yet
                await self.refresh()
        self._writer.start()

    async def close(self) -> None:
        """End the writer and all watchers; drafts that wait are refused."""
        await self._writer.close()
        self.watchers.close("the center stops")

    async def refresh(self) -> None:
        """Bring memory, journal and store to one verified head, whatever happened to them."""
        try:
            stored = await self.store.head(self.ns)
            if stored is None:
                await remember(self)
                if self.has_ended:  # what was deleted is not missed
                    self.end()
                else:
                    self.set_mode(Mode.EMPTY)
                return
            await self._recover_from(stored)
            self.require_key()
            self.go_on()
        except TooOld as error:
            await self._serve_what_is_known(Mode.INCOMPLETE, str(error))
        except Incomplete as error:
            self.set_mode(Mode.INCOMPLETE, str(error))
        except NotVerified as error:
            self.set_mode(Mode.TAMPERED, str(error))
        except KeyRefused as problem:
            self.set_mode(Mode.REFUSED, problem.detail)
        except JournalDown as error:
            self.set_mode(Mode.UNREACHABLE, str(error))
        except (StoreDown, StoreRefused, OutcomeUnknown) as error:
            await self._serve_what_is_known(Mode.UNREACHABLE, str(error))

    async def _serve_what_is_known(self, mode: Mode, reason: str) -> None:
        try:
            await remember(self)
        except JournalDown as error:
            mode, reason = Mode.UNREACHABLE, str(error)
        self.set_mode(mode, reason)

    async def _recover_from(self, stored: StoredHead) -> None:
        again = await self.learn()
        if not stored.rid_matches or await self._is_store_behind() or self._is_contradicted():
            await adopt(self, again)
        elif again:
            await bring_back(self, again)

    def hear_of(self, who: str, record: Record) -> None:
        """
        Somebody has this record: if it is signed and the store shows less, the next beat looks into
        it (docs/protocol.md, C9). Bounded; what proves nothing is dropped. A key that is refused by
        now counts as well: whoever was fed with what its thief signed has to be led out of there.
        """
        if len(self.heard) < _MAX_HEARD and self._contradicts(record):
            genuine = record.header.ns == self.ns and record.verify(self.verifier.past)
            if genuine:
                self.heard[who] = record

    def _contradicts(self, record: Record) -> bool:
        if is_leap(self.state.position, record.position):
            return False
        return record.position >= self.state.position and record.c != self.state.c

    def _is_contradicted(self) -> bool:
        self.heard = {who: r for who, r in self.heard.items() if self._contradicts(r)}
        return bool(self.heard)

    async def learn(self) -> Sequence[Record]:
        """
        Verify what the store holds and journal what is new, then believe it.

        What the store's line lacks of ours is written down as orphans first; those that nobody
        published over are returned, to be brought back. Raises NotVerified; the memory is then as
        before.
        """
        whole = self.head is None or self.mode is Mode.TAMPERED
        if not whole and await self._follow():
            return ()
        image = await self._read_image()
        mine = await self._journaled_mark()
        await require_newer_than_base(self, image.head)
        held = image.head.c in await self.journal.known(self.ns, [image.head.c])
        # Where our own line stood before, there is nothing in its log that we do not have.
        behind = held and image.head.position < mine.position
        rows = None if behind else await self._read_between(mine, image.head)
        judge = partial(prove, self.ns, self.verifier, image, rows, mine, held=held)
        proven = await asyncio.to_thread(judge)
        news: Sequence[Record] = proven.news
        again: Sequence[Record] = ()
        if proven.hole and not behind:
            news, judged = await rejoin(self, proven.head, mine)
            again = judged.again
        ring = await settle(self, image.ring, proven.state)
        if news or ring:
            await self.journal.seen(self.ns, news, ring)
        self.ring = ring
        self.believe(proven.state, proven.head, news)
        return again

    async def _follow(self) -> bool:
        """
        Go on along the log, where it continues what is believed: costs what is new, and not the
        whole namespace. False where it does not; what that means the whole image has to tell.
        """
        rows = await self.store.read_log(self.ns, self.state.position)
        if not rows or rows[0].header.p != self.state.c:
            return False
        try:
            check_rows(self.ns, self.verifier, rows)
            state = await asyncio.to_thread(follow, self.state, rows)
        except NotVerified:
            return False
        ring = self.ring
        if any(map(is_about_ring, rows)):
            ring = await settle(self, await self.store.read_ring(self.ns), state)
        await self.journal.seen(self.ns, rows, None if ring is self.ring else ring)
        self.ring = ring
        self.believe(state, rows[-1], rows)
        return True

    def believe(self, state: NamespaceState, head: Record, news: Sequence[Record]) -> None:
        """Make a verified, journaled head ours and tell the watchers."""
        if head.c != self.state.c and (not news or news[0].header.p != self.state.c):
            self.recent.clear()  # a hole: what is kept in memory has none
        self.state, self.head = state, head
        for record in news:
            self.recent[record.position] = record
            for observe in self.observers:
                observe(record)
            self.watchers.offer(record)
        while len(self.recent) > _RECENT:
            self.recent.popitem(last=False)

    async def _read_between(self, mine: Mark, head: Record) -> Sequence[Record] | None:
        if head.c == mine.c:
            return None
        rows = await self.store.read_log(self.ns, min(mine.position, head.position))
        return _between(rows, mine.position, head.position)

    async def _read_image(self) -> Image:
        image = await self.store.read_image(self.ns)
        if image is None:
            raise StoreDown(f"the store lost {self.ns} while it was read")
        return image

    async def _journaled_mark(self) -> Mark:
        if self.head is not None:
            return mark_of(self.head)
        newest = await self.journal.newest(self.ns)
        return Mark(START, GENESIS) if newest is None else mark_of(newest)

    async def _is_store_behind(self) -> bool:
        newest = await self.journal.newest(self.ns)
        return newest is not None and newest.position > self.state.position


def _between(
    rows: Sequence[Record] | None, after: Position, last: Position
) -> Sequence[Record] | None:
    """The rows after a position, up to the head that was read: another center may have gone on."""
    if rows is None:
        return None
    rows = [row for row in rows if row.position <= last]
    return [row for row in rows if row.position > after] or rows


async def _nobody(_: Ledger) -> None:
    """There are no peers."""
