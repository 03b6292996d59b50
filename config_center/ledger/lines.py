"""
Two lines of history, and what becomes of what stands on ours alone. Pure.

A store may come back without its newest changes, or with others in their place: a replica that was
behind was promoted, a backup was put back, another center went on where we could not see it. What
we acknowledged and the store's line lacks is an **orphan**. The law (docs/protocol.md, C6 and C7):

* The identity of a change is its id, never its position: an id on the store's line is there.
* Nothing else was published since the lines parted: orphans come back by themselves, in order.
* Somebody published since: what comes back would overwrite it, so people decide. Until they do, the
  orphan is kept and shown, and never forgotten.
* What has no effect (an adoption, a beginning) is not brought back.

Rejected: "newest wins" (an acknowledged change may be older than one made in ignorance of it), and
replaying by position (a replay has another one each time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from client_sdk.records import Record

_NO_EFFECT = ("adopt", "create", "restore", "rekey")
_HARMLESS = ("cancel",)  # it only keeps a change from happening: it may come back at any time


@dataclass(frozen=True, slots=True)
class Parting:
    """Where the lines part: the chain value both know (``None``: unseen), and theirs after it."""

    base: bytes | None
    news: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of ours alone: to bring back now, for people to decide, and those that need nothing."""

    again: tuple[Record, ...] = ()
    waiting: tuple[Record, ...] = ()
    void: tuple[Record, ...] = ()


def part(log: Sequence[Record], known: Collection[bytes]) -> Parting:
    """
    The newest place of the store's ``log`` (oldest first, linked) that our history holds. ``known``
    are those of its chain values, and of the one before it, that our journal has.
    """
    for at in range(len(log) - 1, -1, -1):
        if log[at].c in known:
            return Parting(log[at].c, tuple(log[at + 1 :]))
    if log and log[0].header.p in known:
        return Parting(log[0].header.p, tuple(log))
    return Parting(None, tuple(log))


def judge(ours: Iterable[Record], news: Sequence[Record]) -> Judged:
    """What becomes of rows that the store's line, with ``news`` after the parting, lacks."""
    rows = tuple(ours)
    there = {record.header.id for record in news}
    mine = {row.header.id for row in rows}
    others = any(r.header.type not in _NO_EFFECT and r.header.id not in mine for r in news)
    again, waiting, void = [], [], []
    for row in rows:
        if row.header.type in _NO_EFFECT or row.header.id in there:
            void.append(row)
        elif others and row.header.type not in _HARMLESS:
            waiting.append(row)
        else:
            again.append(row)
    return Judged(tuple(again), tuple(waiting), tuple(void))


def path_from(c: bytes, rows: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """
    The rows that lead from ``c`` to the highest of ``rows`` that can be reached, oldest first; and
    the others.
    """
    by_chain = {row.c: row for row in rows}
    for best in sorted(rows, key=lambda row: row.position, reverse=True):
        path = [best]
        while path[-1].header.p in by_chain:
            path.append(by_chain[path[-1].header.p])
        if path[-1].header.p == c:
            on_it = {row.c for row in path}
            return path[::-1], [row for row in rows if row.c not in on_it]
    return [], list(rows)
