"""
The driver of the audit: one thread that writes, one task that feeds it, group commit.

Who asks waits for his entry; all that wait together are one transaction. It ends in the kernel's
memory, and once a second in the disk's (``through``), which the package's essay says why. An entry
that the disk refused stays first in the line and is tried again each second; until then ``down``
says why, and the door lets no change in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from client_sdk.errors import ConfigError
from client_sdk.records import Header
from client_sdk.waiting import ended
from config_center.audit.entries import BEGUN, NOTED, REFUSED, STARTED, STOPPED, TRIMMED, Entry
from config_center.audit.opening import open_book
from config_center.audit.reading import Reading
from config_center.audit.reconciling import run_name, unaccounted
from config_center.audit.tally import Tally
from config_center.journal_tables import HISTORY
from config_center.problems import Problem
from config_center.retention import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from client_sdk.signing import SigningKey, Verifier
    from config_center.audit.book import Book
    from config_center.journal import Journal

T = TypeVar("T")

log = logging.getLogger(__name__)

FILE = "audit.sqlite3"
_BATCH = 500
_QUEUE = 10_000  # entries that wait for a disk; those beyond are counted as lost
_SYNC_EVERY = 1.0  # seconds
_AGAIN = 1.0
_PATIENCE = 10.0  # seconds that an answer waits for its entry
_TELL_EVERY = 5.0
_KEEP_HOUSE_EVERY = 3600.0
_TRIMMED_AT_ONCE = 500
_OF_A_NEW_CENTER = 3  # changes: two namespaces, and one is registered
_LOOKED_BACK = 600_000  # ms before the newest entry that the journal is compared from


class AuditDown(ConfigError):
    """An entry could not be written down."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Entries go when they are older than ``days`` and not among the newest ``entries``."""

    days: int = 365
    entries: int = 10_000


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    through: bool
    written: asyncio.Future[None]


class Audit:
    """
    Open with ``await Audit.open(...)``; close it. ``run`` is what the ids of this run's requests
    begin with; ``written`` counts entries by outcome, ``errors`` transactions the disk refused,
    ``lost`` entries that it refused for too long; ``down``: why nothing can be written now.
    """

    def __init__(
        self,
        path: Path,
        opened: Book,
        thread: ThreadPoolExecutor,
        key: SigningKey,
        keep: Keep,
        clock_ms: Callable[[], int],
    ) -> None:
        self.path = path
        self.run = run_name(opened.chain, secrets.token_hex(4))
        self.written: dict[str, int] = {"": 0, "accepted": 0, REFUSED: 0, "unknown": 0}
        self.errors = 0
        self.lost = 0
        self.down = ""
        self._book = opened
        self._thread = thread
        self._key = key
        self._keep = keep
        self.clock_ms = clock_ms
        self._tally = Tally()
        self._line: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._known_until = 0  # when the newest entry of the runs before was written
        self._sync_at: float | None = None
        self.reading = Reading(path, key, clock_ms)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        key: SigningKey,
        verifier: Verifier,
        keep: Keep | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> Audit:
        """Open or make the file, and write that a run has begun. Raises SettingInvalid."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        loop = asyncio.get_running_loop()
        try:
            opened, why = await loop.run_in_executor(thread, open_book, path, verifier)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        audit = cls(path, opened, thread, key, keep or Keep(), clock_ms)
        await audit._begin(why)
        return audit

    async def close(self) -> None:
        """Tell what was counted, say that the run has ended, sync and let go of the file."""
        now = self.clock_ms()
        rest = self._tally.due(time.monotonic(), now, everything=True)
        for entry in rest:
            self.leave(entry)
        try:
            await self.record(Entry(at=now, event=STOPPED, request=self.run), through=True)
        except AuditDown as error:
            log.error("the audit ends without its last entries: %s", error)
        await ended(*self._tasks)
        await self._in_thread(self._book.close)
        self._thread.shutdown(wait=True)

    def sign_with(self, key: SigningKey) -> None:
        """Seal with another key from now on; the entry that says so brings the seal."""
        self._key = self.reading.key = key
        detail = f"entries are sealed with the key {key.kid} from now on"
        self.leave(Entry(at=self.clock_ms(), event=NOTED, actor="center", detail=detail))

    # -- writing ------------------------------------------------------------------------------

    async def record(self, entry: Entry, *, through: bool = False) -> None:
        """
        Write an entry down. When this returns, kill -9 cannot lose it; with ``through`` neither can
        a loss of power. Raises AuditDown; it may be written later all the same.
        """
        written = self._queue(entry, through)
        try:
            async with asyncio.timeout(_PATIENCE):
                await written
        except TimeoutError:
            raise AuditDown(self.down or f"the disk below {self.path} does not answer") from None

    async def note(self, sentence: str) -> None:
        """What the center did by itself. Raises AuditDown."""
        now = self.clock_ms()
        await self.record(Entry(at=now, event=NOTED, actor="center", detail=sentence), through=True)

    def leave(self, entry: Entry) -> None:
        """The same for whom nobody waits: soon, or when the disk has room. Never raises."""
        self._queue(entry, through=False)

    def _queue(self, entry: Entry, through: bool) -> asyncio.Future[None]:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._line) < _QUEUE:
            self._line.append(_Waiting(entry, through, written))
            self._news.set()
        else:
            self.lost += 1
            _fail(written, self.down or "too many entries wait for the disk")
        return written

    async def refused(self, entry: Entry) -> None:
        """The same for a refusal, which may only be counted. Never raises AuditDown."""
        if not self._tally.take(entry, time.monotonic()):
            return
        if self.down:
            self.leave(entry)
            return
        try:
            await self.record(entry)
        except AuditDown as error:
            log.debug("a refusal is not written down yet: %s", error)

    def require(self) -> None:
        """Raise Problem 507 while nothing can be written down."""
        if self.down:
            raise Problem(
                "store-full",
                f"the center's audit cannot be written ({self.down}), and what cannot be written "
                f"down is not done: make room for {self.path.name} in the data directory",
                headers={"Retry-After": "1"},
            )

    async def reconcile(self, journal: Journal) -> int:
        """
        Give every change of ours that has no entry one; how many. Raises JournalDown, AuditDown.
        """
        if not self._known_until:  # a new chain, which no record can name yet
            await self._tell_what_was_before(journal)
            return 0
        since = self._known_until - _LOOKED_BACK
        headers = await journal.transact(lambda db: _headers_since(db, since))
        requests = await self._in_thread(partial(self._known_among, headers))
        found = unaccounted(headers, self._book.chain, requests, self.clock_ms())
        for entry in found:
            await self.record(entry)
        if found:
            log.warning(
                "%d changes had no entry in the audit and have one now (`audit ls` shows them as "
                "found): the center or its machine was stopped hard, or %s was cut",
                *(len(found), self.path),
            )
        return len(found)

    async def _tell_what_was_before(self, journal: Journal) -> None:
        query = f"SELECT count(*) FROM rows WHERE {HISTORY}"
        count = await journal.transact(lambda db: db.execute(query).fetchone()[0])
        if count > _OF_A_NEW_CENTER:
            told = f"the journal holds {count} changes from before this audit began"
            log.warning("%s; was %s taken away?", told, self.path)
            await self.note(told)

    def _known_among(self, headers: list[Header]) -> set[str]:
        """Which of their requests have an entry."""
        requests = {header.request for header in headers}
        return {request for request in requests if self._book.has_request(request)}

    # -- the driver ---------------------------------------------------------------------------

    async def _begin(self, why: str) -> None:
        self._tasks = [
            asyncio.create_task(self._serve(), name="audit"),
            asyncio.create_task(self._keep_house(), name="audit house"),
        ]
        self._known_until = await self._in_thread(self._book.newest_at)
        now = self.clock_ms()
        first = [Entry(at=now, event=BEGUN, detail=why)] if why else []
        try:
            for entry in (*first, Entry(at=now, event=STARTED, request=self.run)):
                await self.record(entry, through=True)
        except AuditDown as error:
            log.error("the audit cannot be written: %s; no change is taken meanwhile", error)

    async def _serve(self) -> None:
        while True:
            await self._until_due()
            batch = [self._line[at] for at in range(min(_BATCH, len(self._line)))]
            through = self._is_sync_due() or any(waiting.through for waiting in batch)
            try:
                await self._in_thread(partial(self._write, batch, through))
            except (sqlite3.Error, OSError) as error:
                await self._fail(error)
                continue
            except Exception:  # a bug; it must not be the last entry that was ever written
                log.exception("entries of the audit could not be encoded and are lost")
                self._drop(batch)
                continue
            self._wrote(batch, through=through)

    def _write(self, batch: list[_Waiting], through: bool) -> None:
        entries = [waiting.entry for waiting in batch]
        self._book.append(entries, self.clock_ms(), self._key, through=through)

    def _wrote(self, batch: list[_Waiting], *, through: bool) -> None:
        if self.down:
            log.warning("the audit is written again")
        self.down = ""
        if through:
            self._sync_at = None
        elif self._sync_at is None:
            self._sync_at = asyncio.get_running_loop().time() + _SYNC_EVERY
        for waiting in batch:
            self._line.popleft()
            self.written[waiting.entry.outcome] += 1
            if not waiting.written.done():
                waiting.written.set_result(None)

    async def _fail(self, error: Exception) -> None:
        """Those who wait hear it; their entries stay in the line for the next attempt."""
        self.errors += 1
        if not self.down:
            log.error("the audit cannot be written: %s; no change is taken meanwhile", error)
        self.down = str(error)
        for waiting in self._line:
            _fail(waiting.written, self.down)
        await asyncio.sleep(_AGAIN)

    def _drop(self, batch: list[_Waiting]) -> None:
        self.lost += len(batch)
        for waiting in batch:
            self._line.popleft()
            _fail(waiting.written, "an entry could not be encoded")

    async def _until_due(self) -> None:
        """Until there is something to write, or to sync."""
        try:
            async with asyncio.timeout_at(self._sync_at):
                while not self._line:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass  # nothing new: what was written is synced now

    def _is_sync_due(self) -> bool:
        return self._sync_at is not None and asyncio.get_running_loop().time() >= self._sync_at

    async def _keep_house(self) -> None:
        """Tell what was counted; now and then let go of what is old."""
        house_at = 0.0
        while True:
            try:
                for entry in self._tally.due(time.monotonic(), self.clock_ms()):
                    self.leave(entry)
                if time.monotonic() >= house_at:
                    house_at = time.monotonic() + _KEEP_HOUSE_EVERY
                    await self.trim()
            except AuditDown as error:
                log.info("the audit's house is not kept now: %s", error)
            except Exception:  # it must outlive whatever one round met
                log.exception("keeping the audit's house failed")
            await asyncio.sleep(_TELL_EVERY)

    async def trim(self) -> int:
        """Let go of what is old enough; how many entries."""
        gone = 0
        while count := await self._in_thread(self._trim_some):
            gone += count
            await asyncio.sleep(0)
        if gone:
            detail = f"{gone} entries older than {self._keep.days} days went"
            await self.record(Entry(at=self.clock_ms(), event=TRIMMED, detail=detail))
        return gone

    def _trim_some(self) -> int:
        kept = self._book
        spare = kept.end.n - kept.after.n - self._keep.entries
        now = self.clock_ms()
        due = 0
        for n, at in kept.oldest(min(spare, _TRIMMED_AT_ONCE)) if spare > 0 else ():
            if now - at <= self._keep.days * DAY_MS:
                break
            due = n
        before = kept.after.n
        if due:
            kept.trim(due, now, self._key)
        return kept.after.n - before

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _fail(written: asyncio.Future[None], why: str) -> None:
    if not written.done():
        written.set_exception(AuditDown(why))
        written.exception()  # whoever asked may be gone


def _headers_since(db: sqlite3.Connection, ms: int) -> list[Header]:
    query = f"SELECT header FROM rows WHERE at >= ? AND {HISTORY} ORDER BY ns, e, v"
    return [Header.decode(row[0]) for row in db.execute(query, (ms,))]
