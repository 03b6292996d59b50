"""
What this center signed or saw, on its own disk: the past, and the proof of what was acknowledged.

SQLite in WAL mode with ``synchronous=FULL``, one connection in one thread: a transaction is one
fsync, and every public method is one transaction. A row's status is its life:

    intent     signed, sent or not; nothing is known about it
    committed  the script said OK
    seen       read from the store, verified
    refused    lost the compare-and-set; never happened
    replayed   happened, was lost by the store, and is back under a newer epoch as another row

``committed`` and ``seen`` rows are history; nothing else is ever shown. Bodies lie once by their
hash. ``versions`` is an index over the operations, so that a key's history is not a scan.

Also here: the highest epoch ever *tried* for a namespace (fsynced before it is used, or two records
could be signed for one position), and this journal's residue class, drawn once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from client_sdk.contents import Content
from client_sdk.errors import SettingInvalid, StateInUse
from client_sdk.records import Header, Position, Record, chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs(ns TEXT PRIMARY KEY, highest INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows(
  c BLOB PRIMARY KEY, ns TEXT NOT NULL, e INTEGER NOT NULL, v INTEGER NOT NULL, id TEXT NOT NULL,
  header BLOB NOT NULL, sig BLOB NOT NULL, st TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_position ON rows(ns, e, v);
CREATE INDEX IF NOT EXISTS rows_by_id ON rows(ns, id);
CREATE TABLE IF NOT EXISTS bodies(sha256 TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions(
  ns TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, c BLOB NOT NULL,
  sha256 TEXT NOT NULL, size INTEGER NOT NULL, format TEXT NOT NULL, rollback_of INTEGER,
  stable INTEGER NOT NULL,
  PRIMARY KEY(ns, key, version, c)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_by_hash ON versions(ns, sha256);
CREATE TABLE IF NOT EXISTS holes(ns TEXT, after_c BLOB, before_c BLOB, PRIMARY KEY(ns, before_c));
"""
_HISTORY = "st IN ('committed', 'seen')"


@dataclass(frozen=True, slots=True)
class Found:
    """A change in history, without its bodies."""

    header: Header
    c: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key: its content (no body), and the change that brought it."""

    content: Content
    header: Header


class Journal:
    """
    Open with ``await Journal.open(path)``; close it. Raises StateInUse when another process has it,
    SettingInvalid when the file cannot be used.
    """

    def __init__(self, db: sqlite3.Connection, lock: int, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._lock = lock
        self._thread = thread

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

    async def intend(self, ns: str, records: Sequence[Record]) -> None:
        """Write down what is about to be sent."""
        await self._do(lambda db: _insert(db, ns, records, "intent"))

    async def seen(self, ns: str, records: Sequence[Record]) -> None:
        """Write down verified records of the store; an intent among them is history now."""
        await self._do(lambda db: _insert(db, ns, records, "seen"))

    async def mark(self, chains: Iterable[bytes], status: str) -> None:
        """Set the status of rows by their chain values."""
        rows = [(status, c) for c in chains]
        await self._do(lambda db: db.executemany("UPDATE rows SET st = ? WHERE c = ?", rows))

    async def replayed(self, chains: Iterable[bytes]) -> None:
        """These rows live on under a newer epoch."""
        await self.mark(chains, "replayed")

    async def hole(self, ns: str, after: bytes, before: bytes) -> None:
        """History between two chain values was never seen."""
        row = (ns, after, before)
        await self._do(lambda db: db.execute("INSERT OR IGNORE INTO holes VALUES (?, ?, ?)", row))

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

        return await self._do(mint)

    async def prune(self, ns: str, before_ms: int) -> int:
        """Drop rows older than ``before_ms`` that are not history; how many went."""
        query = "DELETE FROM rows WHERE ns = ? AND st IN ('refused', 'replayed') AND at < ?"
        return await self._do(lambda db: db.execute(query, (ns, before_ms)).rowcount)

    # -- reading ------------------------------------------------------------------------------

    async def newest(self, ns: str) -> Record | None:
        """The newest record of history, without bodies."""
        query = (
            f"SELECT header, sig FROM rows WHERE ns = ? AND {_HISTORY} "
            "ORDER BY e DESC, v DESC LIMIT 1"
        )
        rows = await self._do(lambda db: db.execute(query, (ns,)).fetchall())
        return _record(rows[0][0], rows[0][1], {}) if rows else None

    async def find(self, ns: str, change: str) -> Found | None:
        """The change of this id."""
        query = (
            f"SELECT header, c FROM rows WHERE ns = ? AND id = ? AND {_HISTORY} "
            "ORDER BY e DESC, v DESC LIMIT 1"
        )
        row = await self._do(lambda db: db.execute(query, (ns, change)).fetchone())
        return None if row is None else Found(Header.decode(row[0]), row[1])

    async def status(self, ns: str, change: str) -> str | None:
        """The newest status of this id, whatever became of it."""
        query = "SELECT st FROM rows WHERE ns = ? AND id = ? ORDER BY e DESC, v DESC LIMIT 1"
        row = await self._do(lambda db: db.execute(query, (ns, change)).fetchone())
        return None if row is None else str(row[0])

    async def above(self, ns: str, position: Position) -> list[Record]:
        """History above a position, oldest first, with bodies."""
        return await self._do(lambda db: _records(db, ns, position, -1))

    async def after(self, ns: str, position: Position, limit: int) -> list[Record] | None:
        """The same, bounded; ``None`` when history does not hold the position itself."""

        def read(db: sqlite3.Connection) -> list[Record] | None:
            query = f"SELECT 1 FROM rows WHERE ns = ? AND e = ? AND v = ? AND {_HISTORY}"
            if position > (0, 0) and not db.execute(query, (ns, *position)).fetchone():
                return None
            return _records(db, ns, position, limit)

        return await self._do(read)

    async def versions(self, ns: str, key: str) -> list[Version]:
        """All versions of a key, oldest first, each with the change that brought it."""
        return await self._do(lambda db: _versions(db, ns, key, None))

    async def version(self, ns: str, key: str, version: int) -> Version | None:
        """One version of a key, with its body."""

        def read(db: sqlite3.Connection) -> Version | None:
            found = _versions(db, ns, key, version)
            if not found:
                return None
            content = found[0].content
            body = _body(db, content.sha256)
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

        return await self._do(read)

    async def stable_before(self, ns: str, key: str, version: int | None) -> int | None:
        """The newest version below ``version`` (``None``: at all) that stable units ever got."""
        query = (
            "SELECT max(version) FROM versions JOIN rows USING (c) WHERE versions.ns = ? "
            f"AND versions.key = ? AND stable AND version < ? AND {_HISTORY}"
        )
        below = 2**53 if version is None else version
        row = await self._do(lambda db: db.execute(query, (ns, key, below)).fetchone())
        return None if row[0] is None else int(row[0])

    async def headers(self, ns: str) -> list[Header]:
        """Every change of a namespace, oldest first."""
        query = f"SELECT header FROM rows WHERE ns = ? AND {_HISTORY} ORDER BY e, v"
        rows = await self._do(lambda db: db.execute(query, (ns,)).fetchall())
        return await asyncio.to_thread(lambda: [Header.decode(row[0]) for row in rows])

    async def body(self, ns: str, sha256: str) -> bytes | None:
        """A body by its hash, if a version of this namespace has it (another's is not shown)."""
        query = "SELECT 1 FROM versions WHERE ns = ? AND sha256 = ? LIMIT 1"

        def read(db: sqlite3.Connection) -> bytes | None:
            named = db.execute(query, (ns, sha256)).fetchone()
            return _body(db, sha256) if named else None

        return await self._do(read)

    async def namespaces(self) -> list[str]:
        """Every namespace that has history here."""
        query = f"SELECT DISTINCT ns FROM rows WHERE {_HISTORY}"
        rows = await self._do(lambda db: db.execute(query).fetchall())
        return [row[0] for row in rows]

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            return result

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)


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
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(_SCHEMA)
    tag = int.from_bytes(os.urandom(2), "big") % 1024
    db.execute("INSERT OR IGNORE INTO about VALUES ('tag', ?)", (tag,))
    return db


def _insert(db: sqlite3.Connection, ns: str, records: Sequence[Record], status: str) -> None:
    now = time.time_ns() // 1_000_000
    # One statement a table for the whole batch: a group commit of fifty is not 250 statements.
    bodies = [body for record in records for body in record.bodies.items()]
    db.executemany("INSERT OR IGNORE INTO bodies VALUES (?, ?)", bodies)
    db.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT(c) DO UPDATE SET st = excluded.st",
        [(r.c, ns, *r.position, r.header.id, r.raw, r.sig, status, now) for r in records],
    )
    versions = [row for record in records for row in _version_rows(ns, record)]
    db.executemany("INSERT OR IGNORE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", versions)


def _version_rows(ns: str, record: Record) -> Iterator[tuple[Any, ...]]:
    for op in record.header.ops:
        for content in op.contents:
            yield (
                ns,
                op.key,
                content.version,
                record.c,
                content.sha256,
                content.size,
                content.format,
                content.rollback_of,
                content is op.content,
            )


def _records(db: sqlite3.Connection, ns: str, after: Position, limit: int) -> list[Record]:
    rows = db.execute(
        f"SELECT header, sig FROM rows WHERE ns = ? AND (e, v) > (?, ?) AND {_HISTORY} "
        "ORDER BY e, v LIMIT ?",
        (ns, *after, limit),
    ).fetchall()
    return [_with_bodies(db, raw, sig) for raw, sig in rows]


def _with_bodies(db: sqlite3.Connection, raw: bytes, sig: bytes) -> Record:
    record = _record(raw, sig, {})
    bodies = {}
    for op in record.header.ops:
        for content in op.contents:
            body = _body(db, content.sha256)
            if body is not None:
                bodies[content.sha256] = body
    return _record(raw, sig, bodies)


def _record(raw: bytes, sig: bytes, bodies: dict[str, bytes]) -> Record:
    header = Header.decode(raw)
    return Record(header, raw, sig, chain(header.ns, header.p, raw), bodies)


def _body(db: sqlite3.Connection, sha256: str) -> bytes | None:
    row = db.execute("SELECT body FROM bodies WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else row[0]


def _versions(db: sqlite3.Connection, ns: str, key: str, version: int | None) -> list[Version]:
    condition = "" if version is None else "AND versions.version = ?"
    args: list[Any] = [ns, key] if version is None else [ns, key, version]
    rows = db.execute(
        "SELECT versions.version, versions.sha256, versions.size, versions.format, "
        "versions.rollback_of, rows.header, rows.e, rows.v FROM versions JOIN rows USING (c) "
        f"WHERE versions.ns = ? AND versions.key = ? {condition} AND {_HISTORY} "
        "ORDER BY versions.version, rows.e, rows.v",
        args,
    ).fetchall()
    first: dict[int, Version] = {}
    for number, sha, size, form, back, header, _, _ in rows:
        if number not in first:
            first[number] = Version(Content(number, sha, size, form, back), Header.decode(header))
    return list(first.values())
