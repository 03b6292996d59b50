"""
The beginning of a journal that does not reach back to the beginning, and how what lies before goes.

The **base** of a namespace is its state at one position: every entry as it was there, and the row
of that position, whose signed digest proves them. Base and the rows above it are the whole history
that anything needs: a restart beside an empty store, a restore, a replay. The law:

* **The base moves forward first**, in one transaction with the entries that the rows it swallows
  changed. Only rows below it go, later, a few at a time. So at any instant the journal holds a base
  and all rows above it, and a kill in between leaves rows that nobody needs, which the next round
  finds again by the same question.
* **The row of the base stays history**, so a name that was used is never forgotten, a store that
  stands exactly there is known, and the base is void the moment that row is on a dead line.
* A row below the base that brought a version which is kept stays too, as ``past``: it tells who
  published it, it is part of no line any more.
* A body goes in the transaction that takes the last version or base entry which names it.
* Where history has a hole no row leads across it; the base is then **planted** anew: the verified
  state is written beside the old base, in parts, and counts once the last part is there.

Rejected: one image as a blob (64 MiB in one transaction stop the publishes behind it), and a
snapshot file beside the journal (two files are never moved in one transaction).

Every function here runs inside one transaction of the journal's thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.image import Image, decode_row, encode_row
from client_sdk.records import Position, Record
from config_center.journal_tables import BESIDE, HISTORY, TOLD, body_of, record_of
from config_center.retention import Aged, AgedVersion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from client_sdk.contents import Content
    from client_sdk.state import Entry

_NO_BODIES = -1


@dataclass(frozen=True, slots=True)
class Figures:
    """Rows of history, how many of them lie above the base, and when the oldest was written."""

    rows: int = 0
    above: int = 0
    oldest_ms: int = 0


# -- the base ---------------------------------------------------------------------------------


def base_of(db: sqlite3.Connection, ns: str) -> Record | None:
    """The row of the base, without bodies; ``None`` where there is none, or it does not count."""
    row = db.execute(
        f"SELECT header, sig FROM bases JOIN rows USING (c) WHERE bases.ns = ? AND {HISTORY}", (ns,)
    ).fetchone()
    return None if row is None else record_of(row[0], row[1], {})


def base_image(db: sqlite3.Connection, ns: str, *, bodies: bool) -> Image | None:
    """The base as an image, to be proven; ``None`` where there is none."""
    head = base_of(db, ns)
    if head is None:
        return None
    rows = db.execute(
        "SELECT row FROM base_entries JOIN bases USING (ns, gen) WHERE ns = ?", (ns,)
    ).fetchall()
    image = Image(head, tuple(decode_row(row[0]) for row in rows))
    if not bodies:
        return image
    found = {sha: body_of(db, sha) for sha in image.missing()}
    return image.with_bodies({sha: body for sha, body in found.items() if body is not None})


def entries_part(
    db: sqlite3.Connection, ns: str, after: str, limit: int
) -> list[tuple[str, bytes]]:
    """Some of the base's entries, by key: (key, row)."""
    return db.execute(
        "SELECT key, row FROM base_entries JOIN bases USING (ns, gen) WHERE ns = ? AND key > ? "
        "ORDER BY key LIMIT ?",
        (ns, after, limit),
    ).fetchall()


def damage(db: sqlite3.Connection, ns: str) -> int | None:
    """
    ``None`` for a whole history. Else the base has to be planted anew: the number of the newest
    hole, 0 where there is none but the base does not count any more.
    """
    (hole,) = db.execute("SELECT max(rowid) FROM holes WHERE ns = ?", (ns,)).fetchone()
    if hole is not None:
        return int(hole)
    known = db.execute("SELECT 1 FROM bases WHERE ns = ?", (ns,)).fetchone()
    return 0 if known is not None and base_of(db, ns) is None else None


def advance(
    db: sqlite3.Connection, ns: str, before: bytes | None, to: bytes, entries: Iterable[Entry]
) -> bool:
    """
    Move the base from ``before`` (``None``: the beginning) to the row ``to``, with the entries that
    differ. False when somebody moved it, or ``to`` is not history any more.
    """
    base = base_of(db, ns)
    found = db.execute(f"SELECT 1 FROM rows WHERE c = ? AND ns = ? AND {HISTORY}", (to, ns))
    if (None if base is None else base.c) != before or found.fetchone() is None:
        return False
    gen = _generation(db, ns)
    replaced = _write_entries(db, ns, gen, entries)
    db.execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?)", (ns, gen, to))
    _drop_bodies(db, replaced)
    return True


def plant_part(db: sqlite3.Connection, ns: str, entries: Sequence[Entry], *, first: bool) -> None:
    """Write a part of a new base, with the bodies; the ``first`` clears what another left."""
    gen = _generation(db, ns) + 1
    if first:
        db.execute("DELETE FROM base_entries WHERE ns = ? AND gen >= ?", (ns, gen))
    contents = [content for entry in entries for content in entry.contents]
    db.executemany(
        "INSERT OR IGNORE INTO bodies VALUES (?, ?)",
        [(content.sha256, content.body) for content in contents if content.body is not None],
    )
    _write_entries(db, ns, gen, entries)


def plant(db: sqlite3.Connection, ns: str, head: bytes, hole: int) -> bool:
    """
    The new base is whole: it counts from now on, and bridges the holes up to ``hole``; one that was
    found meanwhile lies above it. False when its row is not history any more.
    """
    row = db.execute(f"SELECT 1 FROM rows WHERE c = ? AND ns = ? AND {HISTORY}", (head, ns))
    if row.fetchone() is None:
        return False
    gen = _generation(db, ns) + 1
    db.execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?)", (ns, gen, head))
    db.execute("DELETE FROM holes WHERE ns = ? AND rowid <= ?", (ns, hole))
    return True


def clear_old_base(db: sqlite3.Connection, ns: str, limit: int) -> int:
    """Remove entries of bases that were replaced, and bodies that only they named; how many."""
    rows = db.execute(
        "SELECT key, gen, stable, canary FROM base_entries WHERE ns = ? AND gen < ? LIMIT ?",
        (ns, _generation(db, ns), limit),
    ).fetchall()
    db.executemany(
        "DELETE FROM base_entries WHERE ns = ? AND key = ? AND gen = ?",
        [(ns, key, gen) for key, gen, _, _ in rows],
    )
    _drop_bodies(db, [sha for row in rows for sha in row[2:] if sha is not None])
    return len(rows)


def _generation(db: sqlite3.Connection, ns: str) -> int:
    row = db.execute("SELECT gen FROM bases WHERE ns = ?", (ns,)).fetchone()
    return 0 if row is None else int(row[0])


def _write_entries(
    db: sqlite3.Connection, ns: str, gen: int, entries: Iterable[Entry]
) -> list[str]:
    replaced: list[str] = []
    query = "SELECT stable, canary FROM base_entries WHERE ns = ? AND gen = ? AND key = ?"
    for entry in entries:
        for row in db.execute(query, (ns, gen, entry.key)):
            replaced += [sha for sha in row if sha is not None]
        canary = None if entry.rollout is None else entry.rollout.content
        db.execute(
            "INSERT OR REPLACE INTO base_entries VALUES (?, ?, ?, ?, ?, ?)",
            (ns, gen, entry.key, encode_row(entry, _NO_BODIES), _sha(entry.content), _sha(canary)),
        )
    return replaced


def _sha(content: Content | None) -> str | None:
    return None if content is None else content.sha256


# -- what goes --------------------------------------------------------------------------------


def oldest_rows(
    db: sqlite3.Connection, ns: str, after: Position, limit: int
) -> list[tuple[Aged, Record]]:
    """The oldest rows of history above a position, without bodies."""
    rows = db.execute(
        f"SELECT at, header, sig FROM rows WHERE ns = ? AND (e, v) > (?, ?) AND {HISTORY} "
        "ORDER BY e, v LIMIT ?",
        (ns, *after, limit),
    ).fetchall()
    records = [(at, record_of(raw, sig, {})) for at, raw, sig in rows]
    return [(Aged(record.position, at), record) for at, record in records]


def let_go(db: sqlite3.Connection, ns: str, below: Position, limit: int) -> int:
    """
    Rows of history below a position leave it: they go, but for those that brought a version, which
    stay as ``past``; how many. ``below`` is never above the base.
    """
    base = base_of(db, ns)
    if base is None:
        return 0
    rows = db.execute(
        f"SELECT c FROM rows WHERE ns = ? AND (e, v) < (?, ?) AND {HISTORY} ORDER BY e, v LIMIT ?",
        (ns, *min(below, base.position), limit),
    ).fetchall()
    for (c,) in rows:
        _merge_versions(db, c)
        named = db.execute("SELECT 1 FROM versions WHERE c = ? LIMIT 1", (c,)).fetchone()
        if named:
            db.execute("UPDATE rows SET st = 'past' WHERE c = ?", (c,))
        else:
            db.execute("DELETE FROM rows WHERE c = ?", (c,))
    return len(rows)


def _merge_versions(db: sqlite3.Connection, c: bytes) -> None:
    """
    A change names every version that its keys serve, not only the one it brought. What an older
    row tells already is left to that row; that stable units got it goes over to it.
    """
    named = db.execute("SELECT ns, key, version, stable FROM versions WHERE c = ?", (c,)).fetchall()
    for ns, key, version, stable in named:
        first = db.execute(
            "SELECT c FROM versions JOIN rows USING (c) WHERE versions.ns = ? AND key = ? "
            "AND version = ? AND st = 'past' LIMIT 1",
            (ns, key, version),
        ).fetchone()
        if first is None:
            continue
        where = (ns, key, version)
        if stable:
            db.execute(
                "UPDATE versions SET stable = 1 WHERE ns = ? AND key = ? AND version = ? AND c = ?",
                (*where, first[0]),
            )
        db.execute(
            "DELETE FROM versions WHERE ns = ? AND key = ? AND version = ? AND c = ?", (*where, c)
        )


def let_go_beside(
    db: sqlite3.Connection, ns: str, before_ms: int, head: Position, limit: int
) -> int:
    """Old rows that never were history, or are not any more, go; how many. Orphans are not."""
    rows = db.execute(
        f"SELECT c FROM rows WHERE ns = ? AND {BESIDE} AND at < ? AND (e, v) < (?, ?) "
        "ORDER BY at LIMIT ?",
        (ns, before_ms, *head, limit),
    ).fetchall()
    bodies: list[str] = []
    for (c,) in rows:
        named = db.execute("SELECT sha256 FROM versions WHERE c = ?", (c,)).fetchall()
        bodies += [sha for (sha,) in named]
        db.execute("DELETE FROM versions WHERE c = ?", (c,))
        db.execute("DELETE FROM rows WHERE c = ?", (c,))
    _drop_bodies(db, bodies)
    return len(rows)


def aged_versions(db: sqlite3.Connection, ns: str, key: str) -> list[AgedVersion]:
    """The versions of a key, each with the time it was first written down."""
    rows = db.execute(
        f"SELECT version, min(at), max({HISTORY}) FROM versions JOIN rows USING (c) "
        f"WHERE versions.ns = ? AND key = ? AND {TOLD} GROUP BY version",
        (ns, key),
    ).fetchall()
    return [AgedVersion(version, at, bool(kept)) for version, at, kept in rows]


def drop_versions(
    db: sqlite3.Connection, ns: str, key: str, numbers: Sequence[int], now: int
) -> None:
    """Versions go, with the ``past`` rows that told of nothing else, and their bodies."""
    bodies: list[str] = []
    for number in numbers:
        named = db.execute(
            "SELECT c, sha256 FROM versions JOIN rows USING (c) WHERE versions.ns = ? "
            "AND key = ? AND version = ? AND st = 'past'",
            (ns, key, number),
        ).fetchall()
        for c, sha in named:
            bodies.append(sha)
            db.execute(
                "DELETE FROM versions WHERE ns = ? AND key = ? AND version = ? AND c = ?",
                (ns, key, number, c),
            )
            db.execute(
                "DELETE FROM rows WHERE c = ? AND st = 'past' "
                "AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.c = rows.c)",
                (c,),
            )
    _drop_bodies(db, bodies)
    db.execute(
        "INSERT INTO pruned VALUES (?, ?, ?, ?) ON CONFLICT(ns, key) DO UPDATE SET "
        "upto = max(upto, excluded.upto), at = excluded.at",
        (ns, key, max(numbers), now),
    )


def _drop_bodies(db: sqlite3.Connection, hashes: Iterable[str]) -> None:
    for sha in set(hashes):
        db.execute(
            "DELETE FROM bodies WHERE sha256 = :sha "
            "AND NOT EXISTS (SELECT 1 FROM versions WHERE sha256 = :sha) "
            "AND NOT EXISTS (SELECT 1 FROM base_entries WHERE stable = :sha) "
            "AND NOT EXISTS (SELECT 1 FROM base_entries WHERE canary = :sha)",
            {"sha": sha},
        )


# -- looking ----------------------------------------------------------------------------------


def figures(db: sqlite3.Connection, ns: str) -> Figures:
    """How much history there is."""
    base = base_of(db, ns)
    position = Position(0, 0) if base is None else base.position
    rows, above = db.execute(
        f"SELECT count(*), sum((e, v) > (?, ?)) FROM rows WHERE ns = ? AND {HISTORY}",
        (*position, ns),
    ).fetchone()
    oldest = db.execute(
        f"SELECT at FROM rows WHERE ns = ? AND {HISTORY} ORDER BY e, v LIMIT 1", (ns,)
    ).fetchone()
    return Figures(rows, above or 0, 0 if oldest is None else oldest[0])


def pruned_until(db: sqlite3.Connection, ns: str, key: str, version: int) -> int | None:
    """When (milliseconds) versions as old as this one last went; ``None``: none of them did."""
    row = db.execute(
        "SELECT at FROM pruned WHERE ns = ? AND key = ? AND upto >= ?", (ns, key, version)
    ).fetchone()
    return None if row is None else int(row[0])


def shrink(db: sqlite3.Connection, pages: int) -> int:
    """Give free pages at the end of the file back to the disk; how many are left free."""
    for _ in range(pages):  # one call frees one page here, whatever number it is given
        db.execute("PRAGMA incremental_vacuum(1)")
    return int(db.execute("PRAGMA freelist_count").fetchone()[0])


def file_bytes(db: sqlite3.Connection) -> int:
    """The size of the file."""
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    return int(pages) * int(db.execute("PRAGMA page_size").fetchone()[0])
