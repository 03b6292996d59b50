"""
What a center believes of what it reads: nothing, until it is proven.

Pure. A head counts when a trusted key signed it, or when our own verified history holds it (a store
that fell back behind the replacing of a key shows one of a key that is refused by now); rows count
when they hash to the digest in it; log rows count when each ``p`` equals the ``c`` before it and
the last is vouched for (client_sdk/vouching.py). A center that skipped one of these would sign the
next digest over whatever somebody put into Redis, and launder it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified
from client_sdk.steps import Mark
from client_sdk.vouching import vouched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client_sdk.image import Image, Ring
    from client_sdk.records import Position, Record
    from client_sdk.signing import Verifier
    from client_sdk.state import NamespaceState


@dataclass(frozen=True, slots=True)
class Proven:
    """A store's namespace, verified: its state, its head, and the history that leads to it."""

    state: NamespaceState
    head: Record
    news: tuple[Record, ...]
    hole: bool


def prove(
    ns: str,
    verifier: Verifier,
    image: Image,
    log: Sequence[Record] | None,
    known: Mark,
    *,
    held: bool = False,
) -> Proven:
    """
    Verify what a store holds, and link it to ``known``, the newest record we have.

    ``log`` are the rows after ``known`` (``None``: trimmed). ``hole`` says that the rows do not
    reach back to it. ``held``: our own history holds the head. Raises NotVerified when anything is
    not what a trusted key signed.
    """
    state = image.prove(ns, verifier, vouched=held)
    if image.head.c == known.c:
        return Proven(state, image.head, (), hole=False)
    rows = tuple(log or ())
    check_rows(ns, verifier, rows, image.head)
    if rows and rows[-1].c != image.head.c:
        raise NotVerified(f"the log of {ns} does not end at its head {image.head.position}")
    hole = not rows or rows[0].header.p != known.c
    return Proven(state, image.head, rows, hole)


def check_rows(
    ns: str, verifier: Verifier, rows: Sequence[Record], head: Record | None = None
) -> None:
    """
    Raise NotVerified unless every row is signed and follows the one before it, and the last is
    vouched for: by a trusted key, or because it is ``head``, which is proven already.
    """
    counted = vouched(rows, verifier, () if head is None else (head.c,))
    for row in rows:
        if row.header.ns != ns or row.c not in counted:
            raise NotVerified(f"log row {row.position} of {ns} is not signed by a trusted key")
    for before, row in pairwise(rows):
        if row.header.p != before.c:
            raise NotVerified(f"log row {row.position} of {ns} does not follow {before.position}")


def follow(state: NamespaceState, rows: Sequence[Record]) -> NamespaceState:
    """The state that ``rows`` lead to, proven by their digests. Raises NotVerified."""
    for row in rows:
        state = state.apply(row)
    return state


def compare(
    state: NamespaceState,
    image: Image,
    log: Sequence[Record],
    recent: Mapping[Position, Record],
    ring: Ring,
) -> str | None:
    """
    The first difference between what a store holds and the verified ``state`` at the same head, as
    a sentence; ``None`` when there is none. ``recent`` are the verified newest records by position,
    ``log`` the rows from the oldest of them on, ``ring`` the data keys this center knows of.
    """
    if image.head.c != state.c:
        return f"its head {image.head.position} is not the one this center verified"
    for entry in image.entries:
        mine = state.entries.get(entry.key)
        if mine != entry:
            return f"the current record of {entry.key!r} was changed behind the center's back"
        if any(a.body != b.body for a, b in zip(mine.contents, entry.contents, strict=True)):
            return f"the body of {entry.key!r} was changed behind the center's back"
    if len(image.entries) != len(state.entries):
        return "a current record was removed behind the center's back"
    if any(image.ring.get(name) != wrapped for name, wrapped in ring.items()):
        return (
            "a data key of its secrets was changed behind the center's back, or wrapped by a "
            "key-encryption key that this center does not have"
        )
    return _compare_log(state, log, recent)


def _compare_log(
    state: NamespaceState, log: Sequence[Record], recent: Mapping[Position, Record]
) -> str | None:
    """
    Rows older than what memory holds are left to their signatures, which clients check. A row after
    the head has to follow it (another center's, written since). Trimming takes the oldest only.
    """
    oldest = min(recent, default=None)
    seen = set()
    for row in log:
        if row.position > state.position:
            if row.header.p != state.c:
                return _said_of(row.position, "planted")
            break
        if oldest is None or row.position < oldest:
            continue
        what = _edit_of(row, recent.get(row.position))
        if what:
            return _said_of(row.position, what)
        seen.add(row.position)
    gone = recent.keys() - seen - {at for at in recent if seen and at < min(seen)}
    return _said_of(min(gone), "removed") if gone else None


def _edit_of(row: Record, mine: Record | None) -> str:
    if mine is None:
        return "planted"
    same = row.c == mine.c and row.sig == mine.sig and row.bodies.keys() <= mine.bodies.keys()
    return "" if same else "changed"


def _said_of(position: Position, what: str) -> str:
    return f"log row {position} was {what} behind the center's back"


def mark_of(record: Record) -> Mark:
    """Position and chain value of a record."""
    return Mark(record.position, record.c)
