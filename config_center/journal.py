"""
What this center signed or saw, on its own disk: the past, and the proof of what was acknowledged.

SQLite in WAL mode with ``synchronous=FULL``, one connection in one thread: a transaction is one
fsync, and every public method is one transaction. A row's status is its life:

    intent     signed, sent or not; nothing is known about it
    committed  the script said OK
    seen       read from the store, verified
    refused    lost the compare-and-set; never happened
    replayed   happened, was lost by the store, and is back under a newer epoch as another row
    orphan     happened, was lost by the store, and waits for people to decide
    dropped    they decided against it

    past       older than the base; kept because it brought a version that is kept

``committed`` and ``seen`` rows are history, and follow the base (journal_base.py); of ``past`` ones
their versions are shown, and nothing else ever is. Bodies lie once by their hash. ``versions`` is
an index over the operations, so that a key's history is not a scan. ``ring`` holds the wrapped data
keys, so that what is put back into an empty store can be opened.

Also here: the highest epoch ever *tried* for a namespace (fsynced before it is used, or two records
could be signed for one position), and this journal's residue class, drawn once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from client_sdk.contents import Content
from client_sdk.errors import ConfigError, SettingInvalid, StateInUse
from client_sdk.records import START, Header, Position, Record
from config_center.journal_base import base_image, base_of, pruned_until
from config_center.journal_tables import (
    HISTORY,
    SCHEMA,
    TOLD,
    Version,
    body_of,
    insert,
    record_of,
    records_after,
    versions_of,
    with_bodies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from client_sdk.image import Image, Ring

T = TypeVar("T")


class JournalDown(ConfigError):
    """The journal's disk is full, or fails: nothing was written."""


@dataclass(frozen=True, slots=True)
class Found:
    """A change in history, without its bodies."""

    header: Header
    c: bytes


class Journal:
    """
    Open with ``await Journal.open(path)``; close it. Raises StateInUse when another process has it,
    SettingInvalid when the file cannot be used.
    """

    def __init__(self, db: sqlite3.Connection, lock: int, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._lock = lock
        self._thread = thread
        self.errors = 0  # transactions that the disk refused

    @classmethod
    async def open(cls, path: Path) -> Journal:
        """Open or make the journal at ``path``."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, _open, path, thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Write everything down and let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=True)
        os.close(self._lock)

    # -- writing ------------------------------------------------------------------------------

    async def intend(self, ns: str, records: Sequence[Record], ring: Ring | None = None) -> None:
        """Write down what is about to be sent, and the data keys that it needs."""
        await self.transact(lambda db: insert(db, ns, records, "intent", ring or {}))

    async def seen(self, ns: str, records: Sequence[Record], ring: Ring | None = None) -> None:
        """Write down verified records of the store; an intent among them is history now."""
        await self.transact(lambda db: insert(db, ns, records, "seen", ring or {}))

    async def mark(self, chains: Iterable[bytes], status: str) -> None:
        """Set the status of rows by their chain values."""
        rows = [(status, c) for c in chains]
        await self.transact(lambda db: db.executemany("UPDATE rows SET st = ? WHERE c = ?", rows))

    async def replayed(self, chains: Iterable[bytes]) -> None:
        """These rows live on under a newer epoch."""
        await self.mark(chains, "replayed")

    async def hole(self, ns: str, after: bytes, before: bytes) -> None:
        """History between two chain values was never seen."""
        row = (ns, after, before)
        await self.transact(
            lambda db: db.execute("INSERT OR IGNORE INTO holes VALUES (?, ?, ?)", row)
        )

    async def mint_epoch(self, ns: str, above: int, choose: Callable[[int, int], int]) -> int:
        """
        A new epoch above ``above`` and above all tried before, durable before it is returned;
        ``choose(floor, tag)`` picks it.
        """

        def mint(db: sqlite3.Connection) -> int:
            tag = db.execute("SELECT value FROM about WHERE name = 'tag'").fetchone()[0]
            row = db.execute("SELECT highest FROM epochs WHERE ns = ?", (ns,)).fetchone()
            epoch = choose(max(above, row[0] if row else 0), tag)
            db.execute("INSERT OR REPLACE INTO epochs VALUES (?, ?)", (ns, epoch))
            return epoch

        return await self.transact(mint)

    # -- reading ------------------------------------------------------------------------------

    async def known(self, ns: str, chains: Iterable[bytes]) -> set[bytes]:
        """Those of these chain values that history holds."""
        query = f"SELECT 1 FROM rows WHERE c = ? AND ns = ? AND {HISTORY}"

        def read(db: sqlite3.Connection) -> set[bytes]:
            return {c for c in chains if db.execute(query, (c, ns)).fetchone()}

        return await self.transact(read)

    async def holds(self, ns: str, c: bytes) -> bool:
        """True when this record was signed or seen here, whatever became of it."""
        query = "SELECT 1 FROM rows WHERE c = ? AND ns = ?"
        return await self.transact(lambda db: db.execute(query, (c, ns)).fetchone() is not None)

    async def position_of(self, ns: str, c: bytes) -> Position:
        """Where the record of this chain value stands; the beginning for one that is unknown."""
        query = "SELECT e, v FROM rows WHERE c = ? AND ns = ?"
        row = await self.transact(lambda db: db.execute(query, (c, ns)).fetchone())
        return START if row is None else Position(*row)

    async def since(self, ns: str, ms: int) -> list[Record]:
        """History written down since ``ms`` (milliseconds), oldest first, with bodies."""
        query = f"SELECT header, sig FROM rows WHERE ns = ? AND at >= ? AND {HISTORY} ORDER BY e, v"

        def read(db: sqlite3.Connection) -> list[Record]:
            rows = db.execute(query, (ns, ms)).fetchall()
            return [with_bodies(db, raw, sig) for raw, sig in rows]

        return await self.transact(read)

    async def orphans(self, ns: str) -> list[Record]:
        """What waits for people to decide, oldest first, with bodies."""
        query = "SELECT header, sig FROM rows WHERE ns = ? AND st = 'orphan' ORDER BY e, v"

        def read(db: sqlite3.Connection) -> list[Record]:
            rows = db.execute(query, (ns,)).fetchall()
            return [with_bodies(db, raw, sig) for raw, sig in rows]

        return await self.transact(read)

    async def newest(self, ns: str) -> Record | None:
        """The newest record of history, without bodies."""
        query = (
            f"SELECT header, sig FROM rows WHERE ns = ? AND {HISTORY} "
            "ORDER BY e DESC, v DESC LIMIT 1"
        )
        rows = await self.transact(lambda db: db.execute(query, (ns,)).fetchall())
        return record_of(rows[0][0], rows[0][1], {}) if rows else None

    async def find(self, ns: str, change: str) -> Found | None:
        """The change of this id."""
        query = (
            f"SELECT header, c FROM rows WHERE ns = ? AND id = ? AND {TOLD} "
            "ORDER BY e DESC, v DESC LIMIT 1"
        )
        row = await self.transact(lambda db: db.execute(query, (ns, change)).fetchone())
        return None if row is None else Found(Header.decode(row[0]), row[1])

    async def status(self, ns: str, change: str) -> str | None:
        """The newest status of this id, whatever became of it."""
        query = "SELECT st FROM rows WHERE ns = ? AND id = ? ORDER BY e DESC, v DESC LIMIT 1"
        row = await self.transact(lambda db: db.execute(query, (ns, change)).fetchone())
        return None if row is None else str(row[0])

    async def above(self, ns: str, position: Position) -> list[Record]:
        """History above a position, oldest first, with bodies."""
        return await self.transact(lambda db: records_after(db, ns, position, -1))

    async def beyond(self, ns: str, position: Position) -> list[Record]:
        """The same with what is kept from before the base, which a restore may leave behind."""
        return await self.transact(lambda db: records_after(db, ns, position, -1, TOLD))

    async def after(self, ns: str, position: Position, limit: int) -> list[Record] | None:
        """
        The same, bounded; ``None`` when history does not hold the position itself, or not all that
        came after it.
        """

        def read(db: sqlite3.Connection) -> list[Record] | None:
            base = base_of(db, ns)
            if base is not None and position < base.position:
                return None
            query = f"SELECT 1 FROM rows WHERE ns = ? AND e = ? AND v = ? AND {HISTORY}"
            if position > (0, 0) and not db.execute(query, (ns, *position)).fetchone():
                return None
            return records_after(db, ns, position, limit)

        return await self.transact(read)

    async def versions(self, ns: str, key: str) -> list[Version]:
        """All versions of a key, oldest first, each with the change that brought it."""
        return await self.transact(lambda db: versions_of(db, ns, key, None))

    async def version(self, ns: str, key: str, version: int) -> Version | None:
        """One version of a key, with its body."""

        def read(db: sqlite3.Connection) -> Version | None:
            found = versions_of(db, ns, key, version)
            if not found:
                return None
            content = found[0].content
            body = body_of(db, content.sha256)
            return Version(
                Content(
                    content.version,
                    content.sha256,
                    content.size,
                    content.format,
                    content.rollback_of,
                    body,
                ),
                found[0].header,
            )

        return await self.transact(read)

    async def stable_before(self, ns: str, key: str, version: int | None) -> int | None:
        """The newest version below ``version`` (``None``: at all) that stable units ever got."""
        query = (
            "SELECT max(version) FROM versions JOIN rows USING (c) WHERE versions.ns = ? "
            f"AND versions.key = ? AND stable AND version < ? AND {TOLD}"
        )
        below = 2**53 if version is None else version
        row = await self.transact(lambda db: db.execute(query, (ns, key, below)).fetchone())
        return None if row[0] is None else int(row[0])

    async def headers(self, ns: str) -> list[Header]:
        """Every change of a namespace, oldest first."""
        return await self._headers(ns, HISTORY)

    async def past_headers(self, ns: str) -> list[Header]:
        """The changes from before the base that brought versions which are kept, oldest first."""
        return await self._headers(ns, "st = 'past'")

    async def _headers(self, ns: str, which: str) -> list[Header]:
        query = f"SELECT header FROM rows WHERE ns = ? AND {which} ORDER BY e, v"
        rows = await self.transact(lambda db: db.execute(query, (ns,)).fetchall())
        return await asyncio.to_thread(lambda: [Header.decode(row[0]) for row in rows])

    async def base(self, ns: str) -> Record | None:
        """Where what is kept begins: the row of the base; ``None``: at the beginning."""
        return await self.transact(lambda db: base_of(db, ns))

    async def base_image(self, ns: str, *, bodies: bool = True) -> Image | None:
        """The state at the base, to be proven; ``None``: there is no base."""
        return await self.transact(lambda db: base_image(db, ns, bodies=bodies))

    async def ring(self, ns: str) -> Ring:
        """The wrapped data keys."""
        query = "SELECT dek, wrapped FROM ring WHERE ns = ?"
        return dict(await self.transact(lambda db: db.execute(query, (ns,)).fetchall()))

    async def keep_ring(self, ns: str, ring: Ring) -> None:
        """Exchange the wrappings of data keys that are known here; whoever asks has judged them."""
        rows = [(wrapped, ns, dek) for dek, wrapped in ring.items()]
        query = "UPDATE ring SET wrapped = ? WHERE ns = ? AND dek = ?"
        await self.transact(lambda db: db.executemany(query, rows))

    async def drop_ring(self, ns: str, deks: Iterable[str]) -> None:
        """Take data keys out for good: overwritten, also where the log of the file still has it."""
        rows = [(ns, dek) for dek in deks]
        await self.transact(
            lambda db: db.executemany("DELETE FROM ring WHERE ns = ? AND dek = ?", rows)
        )
        await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        )

    async def pruned_until(self, ns: str, key: str, version: int) -> int | None:
        """When (milliseconds) versions as old as this one last went; ``None``: none of them did."""
        return await self.transact(lambda db: pruned_until(db, ns, key, version))

    async def body(self, ns: str, sha256: str) -> bytes | None:
        """A body by its hash, if this namespace's history has it (another's is not shown)."""
        query = (
            "SELECT 1 FROM versions WHERE ns = :ns AND sha256 = :sha UNION ALL "
            "SELECT 1 FROM base_entries WHERE ns = :ns AND stable = :sha UNION ALL "
            "SELECT 1 FROM base_entries WHERE ns = :ns AND canary = :sha LIMIT 1"
        )

        def read(db: sqlite3.Connection) -> bytes | None:
            named = db.execute(query, {"ns": ns, "sha": sha256}).fetchone()
            return body_of(db, sha256) if named else None

        return await self.transact(read)

    async def of_bodies(self, hashes: Iterable[str], say: Callable[[bytes], T]) -> dict[str, T]:
        """What ``say`` says of each of these bodies that is here, with one in memory at a time."""

        def read(db: sqlite3.Connection) -> dict[str, T]:
            bodies = ((sha, body_of(db, sha)) for sha in hashes)
            return {sha: say(body) for sha, body in bodies if body is not None}

        return await self.transact(read)

    async def namespaces(self) -> list[str]:
        """Every namespace that has history here."""
        query = f"SELECT DISTINCT ns FROM rows WHERE {HISTORY}"
        rows = await self.transact(lambda db: db.execute(query).fetchall())
        return [row[0] for row in rows]

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in the journal's thread as one transaction. Raises JournalDown."""

        def transaction() -> T:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it already
                    self._db.execute("ROLLBACK")
                raise
            return result

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except sqlite3.OperationalError as error:
            self.errors += 1
            raise JournalDown(f"the center's journal cannot be used: {error}") from error


def _open(path: Path, thread: ThreadPoolExecutor) -> Journal:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StateInUse(f"another center uses {path}; give this one its own --data") from None
    try:
        return Journal(_prepare(path), lock, thread)
    except sqlite3.DatabaseError as error:
        os.close(lock)
        raise SettingInvalid(
            f"the journal {path} cannot be read ({error}); put back a copy of it, or move it away "
            "and start anew from the store"
        ) from error


def _prepare(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    path.chmod(0o600)
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts for a new file; an old one only reuses
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten: a shredded key is gone
    db.executescript(SCHEMA)
    tag = int.from_bytes(os.urandom(2), "big") % 1024
    db.execute("INSERT OR IGNORE INTO about VALUES ('tag', ?)", (tag,))
    return db
