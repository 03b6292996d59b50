"""The tables of the journal, and what is read from and written to them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.contents import Content
from client_sdk.records import Header, Position, Record, chain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from client_sdk.image import Ring

SCHEMA = """
CREATE TABLE IF NOT EXISTS about(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs(ns TEXT PRIMARY KEY, highest INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows(
  c BLOB PRIMARY KEY, ns TEXT NOT NULL, e INTEGER NOT NULL, v INTEGER NOT NULL, id TEXT NOT NULL,
  header BLOB NOT NULL, sig BLOB NOT NULL, st TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
DROP INDEX IF EXISTS rows_by_position;
CREATE INDEX IF NOT EXISTS rows_of_history ON rows(ns, e, v, st)
  WHERE st IN ('committed', 'seen');
CREATE INDEX IF NOT EXISTS rows_orphaned ON rows(ns, e, v) WHERE st = 'orphan';
CREATE INDEX IF NOT EXISTS rows_by_id ON rows(ns, id);
CREATE INDEX IF NOT EXISTS rows_beside ON rows(ns, at)
  WHERE st IN ('intent', 'refused', 'replayed', 'dropped');
CREATE TABLE IF NOT EXISTS bodies(sha256 TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions(
  ns TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, c BLOB NOT NULL,
  sha256 TEXT NOT NULL, size INTEGER NOT NULL, format TEXT NOT NULL, rollback_of INTEGER,
  stable INTEGER NOT NULL,
  PRIMARY KEY(ns, key, version, c)) WITHOUT ROWID;
DROP INDEX IF EXISTS versions_by_hash;
CREATE INDEX IF NOT EXISTS versions_by_body ON versions(sha256, ns);
CREATE INDEX IF NOT EXISTS versions_by_row ON versions(c);
CREATE TABLE IF NOT EXISTS holes(ns TEXT, after_c BLOB, before_c BLOB, PRIMARY KEY(ns, before_c));
CREATE TABLE IF NOT EXISTS bases(
  ns TEXT PRIMARY KEY, gen INTEGER NOT NULL, c BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base_entries(
  ns TEXT NOT NULL, gen INTEGER NOT NULL, key TEXT NOT NULL, row BLOB NOT NULL,
  stable TEXT, canary TEXT, PRIMARY KEY(ns, gen, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS base_by_stable ON base_entries(stable, ns) WHERE stable IS NOT NULL;
CREATE INDEX IF NOT EXISTS base_by_canary ON base_entries(canary, ns) WHERE canary IS NOT NULL;
CREATE TABLE IF NOT EXISTS ring(
  ns TEXT NOT NULL, dek TEXT NOT NULL, wrapped TEXT NOT NULL, PRIMARY KEY(ns, dek)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pruned(
  ns TEXT NOT NULL, key TEXT NOT NULL, upto INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(ns, key)) WITHOUT ROWID;
"""
HISTORY = "st IN ('committed', 'seen')"
# A row below the base, kept because a version names it: it tells of that version, not of a state.
TOLD = "st IN ('committed', 'seen', 'past')"
BESIDE = "st IN ('intent', 'refused', 'replayed', 'dropped')"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key: its content (no body), and the change that brought it."""

    content: Content
    header: Header


def insert(
    db: sqlite3.Connection, ns: str, records: Sequence[Record], status: str, ring: Ring
) -> None:
    """Write records down with their bodies, versions and data keys; a known one gets the status."""
    now = time.time_ns() // 1_000_000
    if ring:
        keys = [(ns, dek, wrapped) for dek, wrapped in ring.items()]
        db.executemany("INSERT OR IGNORE INTO ring VALUES (?, ?, ?)", keys)
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


def records_after(
    db: sqlite3.Connection, ns: str, after: Position, limit: int, which: str = HISTORY
) -> list[Record]:
    """History after a position, oldest first, with bodies; a negative limit is none."""
    rows = db.execute(
        f"SELECT header, sig FROM rows WHERE ns = ? AND (e, v) > (?, ?) AND {which} "
        "ORDER BY e, v LIMIT ?",
        (ns, *after, limit),
    ).fetchall()
    return [with_bodies(db, raw, sig) for raw, sig in rows]


def frames_after(
    db: sqlite3.Connection, ns: str, after: Position, limit: int, size: int
) -> list[bytes]:
    """
    The same as frames: at most ``limit``, and none behind the one with which they have ``size``
    bytes together. Of what is left nothing is read.
    """
    rows = db.execute(
        f"SELECT header, sig FROM rows WHERE ns = ? AND (e, v) > (?, ?) AND {HISTORY} "
        "ORDER BY e, v LIMIT ?",
        (ns, *after, limit),
    )
    frames: list[bytes] = []
    for raw, sig in rows:
        frames.append(with_bodies(db, raw, sig).encode())
        size -= len(frames[-1])
        if size <= 0:
            break
    rows.close()
    return frames


def with_bodies(db: sqlite3.Connection, raw: bytes, sig: bytes) -> Record:
    """A record with the bodies that are kept."""
    record = record_of(raw, sig, {})
    bodies = {}
    for op in record.header.ops:
        for content in op.contents:
            body = body_of(db, content.sha256)
            if body is not None:
                bodies[content.sha256] = body
    return record_of(raw, sig, bodies)


def record_of(raw: bytes, sig: bytes, bodies: dict[str, bytes]) -> Record:
    """A record of its stored parts."""
    header = Header.decode(raw)
    return Record(header, raw, sig, chain(header.ns, header.p, raw), bodies)


def body_of(db: sqlite3.Connection, sha256: str) -> bytes | None:
    """A body by its hash."""
    row = db.execute("SELECT body FROM bodies WHERE sha256 = ?", (sha256,)).fetchone()
    return None if row is None else row[0]


def versions_of(db: sqlite3.Connection, ns: str, key: str, version: int | None) -> list[Version]:
    """All versions of a key, or one, oldest first, without bodies."""
    condition = "" if version is None else "AND versions.version = ?"
    args: list[Any] = [ns, key] if version is None else [ns, key, version]
    rows = db.execute(
        "SELECT versions.version, versions.sha256, versions.size, versions.format, "
        "versions.rollback_of, rows.header, rows.e, rows.v FROM versions JOIN rows USING (c) "
        f"WHERE versions.ns = ? AND versions.key = ? {condition} AND {TOLD} "
        "ORDER BY versions.version, rows.e, rows.v",
        args,
    ).fetchall()
    first: dict[int, Version] = {}
    for number, sha, size, form, back, header, _, _ in rows:
        if number not in first:
            first[number] = Version(Content(number, sha, size, form, back), Header.decode(header))
    return list(first.values())
