"""
The file of the audit: SQLite in WAL mode; blocking, for one thread at a time.

``entries`` holds the exact bytes of every entry and its hash; the other columns are an index over
them and prove nothing. ``seal`` has one row. An append is one transaction with the seal that
signs it, so what a loss of power leaves is a shorter chain that is whole, with the seal of its end.
Whoever writes keeps the end of the chain in memory: entries that somebody takes away under a
running center leave a gap that no later write closes.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from client_sdk.errors import ConfigError, NotVerified
from config_center.audit.chain import End, Finding, Seal, Walk, beginning, follow
from config_center.audit.entries import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from client_sdk.signing import SigningKey, Verifier
    from config_center.audit.entries import Entry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries(
  n INTEGER PRIMARY KEY, raw BLOB NOT NULL, hash BLOB NOT NULL, at INTEGER NOT NULL,
  outcome TEXT NOT NULL, ns TEXT NOT NULL, actor TEXT NOT NULL, token TEXT NOT NULL,
  keys TEXT NOT NULL, request TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_request ON entries(request) WHERE request != '';
CREATE TABLE IF NOT EXISTS seal(
  one INTEGER PRIMARY KEY CHECK (one = 1), raw BLOB NOT NULL, sig BLOB NOT NULL);
"""
# Whoever edits a file of SQLite may leave a text where bytes were.
_BYTES = "CAST(raw AS BLOB), CAST(hash AS BLOB)"
_PAGE = 500
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock


class TooSlow(ConfigError):
    """A question about the audit took longer than it may."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which entries: all conditions together; ``since`` and ``until`` in milliseconds."""

    namespace: str | None = None
    actor: str | None = None
    key: str | None = None
    outcome: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def everything(self) -> bool:
        """True when nothing is left out."""
        return self == Choice()


@dataclass(slots=True)
class Row:
    """An entry as it lies in the file."""

    n: int
    raw: bytes
    hash: bytes


@dataclass(slots=True)
class Book:
    """The open file, its chain, and where what is kept of that begins and ends."""

    db: sqlite3.Connection
    chain: str
    after: End
    end: End
    seal: Seal | None = None

    @classmethod
    def open(cls, path: Path, chain: str, verifier: Verifier) -> Book:
        """
        Open the file, or make one whose chain is called ``chain``. Raises NotVerified for a chain
        whose end is not the sealed one, sqlite3.DatabaseError for what cannot be read.
        """
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            path.chmod(0o600)
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_SCHEMA)
            seal, last = read_seal(db), _last(db)
            if seal is None and last is None:
                start = beginning(chain)
                return cls(db, chain, start, start)
            _check_end(seal, last, verifier)
        except BaseException:
            db.close()
            raise
        assert seal is not None
        return cls(db, seal.chain, seal.after, seal.last, seal)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def append(
        self, entries: Sequence[Entry], at: int, key: SigningKey, *, through: bool = False
    ) -> None:
        """
        One transaction; ``at`` in milliseconds. ``through``: synced to the disk, with everything
        before. Raises sqlite3.Error; the chain is then as before.
        """
        end, rows = self.end, []
        for entry in entries:
            plain = entry.to_json()
            raw = encoded(plain, end.n + 1)
            end = follow(end, raw)
            rows.append((*_columns(entry, plain), end.n, raw, end.hash))
        self._write(self.after, end, at, key, rows, through=through)

    def trim(self, upto: int, at: int, key: SigningKey) -> None:
        """The entries up to number ``upto`` go; the seal begins behind them."""
        row = self.db.execute(
            "SELECT CAST(hash AS BLOB) FROM entries WHERE n = ?", (upto,)
        ).fetchone()
        if row is not None:
            self._write(End(upto, row[0]), self.end, at, key, [], through=False)

    def _write(
        self,
        after: End,
        end: End,
        at: int,
        key: SigningKey,
        rows: list[tuple[Any, ...]],
        *,
        through: bool,
    ) -> None:
        db = self.db
        seal = Seal.issue(self.chain, after, end, at, key)
        db.execute(f"PRAGMA synchronous={'FULL' if through else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT INTO entries(at, outcome, ns, actor, token, keys, request, event, n, raw, "
                "hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if after != self.after:
                db.execute("DELETE FROM entries WHERE n <= ?", (after.n,))
            db.execute("INSERT OR REPLACE INTO seal VALUES (1, ?, ?)", (seal.raw, seal.sig))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk may have ended it already
                db.execute("ROLLBACK")
            raise
        self.after, self.end, self.seal = after, end, seal

    def oldest(self, limit: int) -> list[tuple[int, int]]:
        """(number, time) of the oldest entries."""
        query = "SELECT n, at FROM entries ORDER BY n LIMIT ?"
        return self.db.execute(query, (limit,)).fetchall()

    def has_request(self, request: str) -> bool:
        """True when an entry is about this request."""
        query = "SELECT 1 FROM entries WHERE request = ? AND request != '' LIMIT 1"
        return self.db.execute(query, (request,)).fetchone() is not None

    def newest_at(self) -> int:
        """When the newest entry was written, in milliseconds; 0 without one."""
        row = self.db.execute("SELECT at FROM entries ORDER BY n DESC LIMIT 1").fetchone()
        return 0 if row is None else int(row[0])


def reader(path: Path, within: float | None = None) -> sqlite3.Connection:
    """
    A connection that reads beside whoever writes. Where a question takes longer than ``within``
    seconds it ends with sqlite3.OperationalError "interrupted". Raises sqlite3.Error.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    if within is not None:
        end = time.monotonic() + within
        db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    return db


def read_seal(db: sqlite3.Connection) -> Seal | None:
    """The seal. Raises NotVerified when what lies there is none."""
    row = db.execute("SELECT CAST(raw AS BLOB), CAST(sig AS BLOB) FROM seal").fetchone()
    return None if row is None else Seal.decode(row[0], row[1])


def newest(db: sqlite3.Connection, choice: Choice, before: int | None, limit: int) -> list[Row]:
    """The newest chosen entries below number ``before``, the newest first."""
    where, args = _where(choice)
    if before is not None:
        where, args = f"{where} AND n < ?", [*args, before]
    query = f"SELECT n, {_BYTES} FROM entries WHERE {where} ORDER BY n DESC LIMIT ?"
    return [Row(*row) for row in db.execute(query, (*args, limit))]


def next_page(db: sqlite3.Connection, choice: Choice, after: int, last: int) -> list[Row]:
    """The oldest chosen entries above ``after`` up to ``last``; none: that was all."""
    where, args = _where(choice)
    query = f"SELECT n, {_BYTES} FROM entries WHERE {where} AND n > ? AND n <= ? ORDER BY n"
    rows = db.execute(f"{query} LIMIT {_PAGE}", (*args, after, last))
    return [Row(*row) for row in rows]


def end_at(db: sqlite3.Connection, n: int) -> End | None:
    """The end that entry number ``n`` is; None where it is not kept."""
    row = db.execute("SELECT CAST(hash AS BLOB) FROM entries WHERE n = ?", (n,)).fetchone()
    return None if row is None else End(n, row[0])


def examine(db: sqlite3.Connection, verifier: Verifier, contains: End | None = None) -> Finding:
    """Walk along the whole chain. Raises NotVerified for an empty file, sqlite3.Error."""
    db.execute("BEGIN")  # one moment, whatever is written meanwhile
    try:
        seal = read_seal(db)
        if seal is None:
            raise NotVerified("nothing signs it: it is empty, or its end was cut off")
        walk = Walk(seal.chain, seal.after, contains)
        for raw, hash_ in db.execute(f"SELECT {_BYTES} FROM entries ORDER BY n"):
            walk.take(raw, hash_)
        return walk.finish(seal, verifier)
    finally:
        db.execute("COMMIT")


def examine_end(db: sqlite3.Connection, verifier: Verifier) -> int:
    """
    How many entries there are, when the last one is what the seal signs. Raises NotVerified.
    """
    db.execute("BEGIN")
    try:
        seal, last = read_seal(db), _last(db)
        _check_end(seal, last, verifier)
        return 0 if seal is None else seal.last.n - seal.after.n
    finally:
        db.execute("COMMIT")


def _last(db: sqlite3.Connection) -> tuple[End, bytes, bytes | None] | None:
    """The end that the newest entry is, its bytes, and the hash of the one before it."""
    rows = db.execute(f"SELECT n, {_BYTES} FROM entries ORDER BY n DESC LIMIT 2").fetchall()
    if not rows:
        return None
    n, raw, hash_ = rows[0]
    return End(n, hash_), raw, rows[1][2] if len(rows) > 1 else None


def _check_end(
    seal: Seal | None, last: tuple[End, bytes, bytes | None] | None, verifier: Verifier
) -> None:
    if seal is None:
        raise NotVerified("nothing signs its end: it was cut off")
    if not seal.verify(verifier):
        raise NotVerified(f"its seal is not signed by a key that is trusted ({seal.kid})")
    if last is None:
        if seal.after != seal.last:
            raise NotVerified(f"its entries up to {seal.last.n} are missing")
        return
    end, raw, before = last
    if end != seal.last:
        raise NotVerified(f"it ends at entry {end.n}, and not as it was sealed at {seal.last.n}")
    if follow(End(end.n - 1, before or seal.after.hash), raw) != end:
        raise NotVerified(f"its newest entry {end.n} is not what was written")


def _columns(entry: Entry, plain: Mapping[str, Any]) -> tuple[Any, ...]:
    """As it is shown, so that what is seen can be asked for."""
    keys = "".join(f"\n{key}\n" for key in plain.get("keys", ()))
    texts = [plain.get(name, "") for name in ("outcome", "namespace", "actor", "token")]
    return (entry.at, *texts, keys, entry.request, entry.event)


def _where(choice: Choice) -> tuple[str, list[Any]]:
    conditions: list[tuple[str, list[Any]]] = [
        ("ns = ?", [choice.namespace]),
        ("? IN (actor, token)", [choice.actor]),
        ("instr(keys, char(10) || ? || char(10))", [choice.key]),
        ("outcome = ?", [choice.outcome]),
        ("at >= ?", [choice.since]),
        ("at <= ?", [choice.until]),
    ]
    wanted = [(text, args) for text, args in conditions if args[0] is not None]
    where = " AND ".join(text for text, _ in wanted) or "1"
    return where, [arg for _, args in wanted for arg in args]
