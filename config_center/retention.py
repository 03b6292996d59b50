"""
What may go: journal rows, versions, large bodies of the store. Pure.

The law: something goes only when **every** rule lets it go; a rule that is not sure keeps it.

* A **row** goes once it is older than ``row_ms`` and than ``id_ms`` (while an Idempotency-Key is
  remembered its change can be found), is not among the newest ``rows``, and lies below the store's
  head. Rows go oldest first and without a gap: what is left follows the base (journal_base.py)
  without a hole. Orphans are no history, and are never asked about.
* What is **no history** (refused, replayed, dropped, an intent that came to nothing) proves that it
  was signed here: it is kept as long as a row, and not above the store's head.
* A **version** goes once it is older than ``version_ms``, not among its key's newest ``versions``,
  needed by nothing that is served or could be gone back to, and named by no row that is kept: rows
  are replayed, so a row without its body would be a hole.
* A **body** of the store goes once nothing in the store names it, and nobody wrote or read it for
  ``grace`` seconds. A body is written before the record that names it, and every commit writes its
  bodies anew; so one whose record is under way is younger than any deadline of a commit.

Rejected: by age alone (a key that is published once a year would have no history), by count alone
(a busy day would push out what was published yesterday).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from client_sdk.contents import Content
    from client_sdk.records import Position, Record
    from client_sdk.state import Entry

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept at least; times in milliseconds, ``grace`` in seconds."""

    row_ms: int = 30 * DAY_MS
    rows: int = 10_000
    version_ms: int = 90 * DAY_MS
    versions: int = 100
    id_ms: int = DAY_MS
    grace: int = 3600

    @property
    def oldest_row_ms(self) -> int:
        """How old a row has to be: never younger than the ids that are remembered."""
        return max(self.row_ms, self.id_ms)


class Aged(NamedTuple):
    """A row of history: where it stands, and when it was written down (milliseconds)."""

    position: Position
    at: int


class AgedVersion(NamedTuple):
    """A version of a key; ``kept``: a row that is kept names it."""

    version: int
    at: int
    kept: bool


def due_rows(oldest: Sequence[Aged], total: int, head: Position, now: int, keep: Keep) -> int:
    """How many of the ``oldest`` rows may go, of ``total`` in history; ``head`` is the store's."""
    due = 0
    for row in oldest[: max(0, total - keep.rows)]:
        if now - row.at <= keep.oldest_row_ms or row.position >= head:
            break
        due += 1
    return due


def is_worth_it(due: int, keep: Keep) -> bool:
    """The base is read as a whole before it moves, so it moves for a hundredth of the rows."""
    return due > 0 and due >= keep.rows // 100


def due_versions(
    versions: Sequence[AgedVersion], needed: Iterable[int], now: int, keep: Keep
) -> list[int]:
    """Which of the versions of one key may go, in ascending order."""
    held = set(needed)
    ascending = sorted(versions)
    return [
        each.version
        for each in ascending[: max(0, len(ascending) - keep.versions)]
        if not each.kept and each.version not in held and now - each.at > keep.version_ms
    ]


def needed_versions(entry: Entry, way_back: int | None) -> set[int]:
    """
    What a key cannot be without: what is served, to stable units and to a canary, what these went
    back to, the highest number, and ``way_back``: where a rollback without a number would go.
    """
    needed = {entry.latest}
    for content in entry.contents:
        needed |= {content.version, *_gone_back_to(content)}
    return needed if way_back is None else needed | {way_back}


def _gone_back_to(content: Content) -> tuple[int, ...]:
    return () if content.rollback_of is None else (content.rollback_of,)


def unneeded_bodies(
    idle: Mapping[str, float], entries: Iterable[Entry], log: Iterable[Record], keep: Keep
) -> list[str]:
    """
    Bodies (hash -> seconds since somebody wrote or read it) that neither a current entry, with its
    canary, nor a row of the log names. Both have to be read after ``idle``.
    """
    named = {content.sha256 for entry in entries for content in entry.contents}
    for record in log:
        named |= {content.sha256 for op in record.header.ops for content in op.contents}
    return sorted(sha for sha, seconds in idle.items() if sha not in named and seconds > keep.grace)
