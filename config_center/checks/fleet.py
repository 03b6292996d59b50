"""Do the clients follow: who is stale, silent, behind, or refuses what was published?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config_center.checks.base import Check
    from config_center.fleet import Standing

SUBJECT = "fleet"

_NAMED = 5


def judge(facts: Facts) -> Iterator[Check]:
    """Each namespace's instances as they report."""
    for ns, fleet in (facts.fleets or {}).items():
        found = list(_judge(ns, fleet))
        if fleet.total and not found:
            follow = "instance follows" if fleet.total == 1 else "instances follow"
            yield ok(SUBJECT, f"{fleet.total} {follow} {ns}")
        yield from found


def _judge(ns: str, fleet: Standing) -> Iterator[Check]:
    if fleet.refusing:
        keys = sorted({key for keys in fleet.refusing.values() for key in keys})
        who = _named(sorted(fleet.refusing))
        mend = (
            f"config-center instances -n {ns}, then config-center rollback KEY -n {ns}, or publish "
            "a version they take"
        )
        yield fail(SUBJECT, f"{who} refuse {_named(keys)} in {ns}", mend)
    if fleet.stale:
        mend = "see whether it reaches the center or the store, and its clock"
        yield warn(SUBJECT, f"stale in {ns}: {_named(fleet.stale)}", mend)
    if fleet.behind:
        mend = "see its log: why does it not read on?"
        yield warn(SUBJECT, f"behind in {ns}: {_named(fleet.behind)}", mend)
    if fleet.silent:
        mend = "see whether it runs; one that was taken away is forgotten after a day"
        yield warn(SUBJECT, f"not heard of for long in {ns}: {_named(fleet.silent)}", mend)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
