"""Is the journal whole, and does anything in it wait for somebody to decide?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "journal"


def judge(facts: Facts) -> Iterator[Check]:
    """SQLite's quick_check, and orphans."""
    journal = facts.journal
    if journal is None:
        return
    whole = "put back a copy of it, or move it away and start anew from the store"
    if isinstance(journal, str):
        yield fail(SUBJECT, f"the journal cannot be looked at: {journal}", whole)
        return
    if journal.problems:
        yield fail(SUBJECT, f"{journal.path} is damaged: {journal.problems[0]}", whole)
    else:
        yield ok(SUBJECT, f"{journal.path} is whole ({journal.size / (1 << 20):,.1f} MiB)")
    for ns, count in sorted(journal.orphans.items()):
        changes = "1 change that was" if count == 1 else f"{count} changes that were"
        sentence = f"{changes} acknowledged in {ns} and lost by the store waits for a decision"
        mend = f"config-center orphans ls -n {ns}, then orphans replay ID or orphans drop ID"
        yield fail(SUBJECT, sentence, mend)
