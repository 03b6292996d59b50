"""Does every namespace take changes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import CENTER, Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config_center.checks.base import Check

SUBJECT = "namespaces"

_MEND = {
    "starting": "wait: the center still reads it",
    "store-unavailable": "see to the store, and to the disk of the journal",
    "store-empty": "bring the store's data back, or config-center restore --from-journal -n {ns}",
    "tampered": "find out who writes to the store (ACL LIST), then put it right",
    "key-refused": "config-center trust rotate gives this center another signing key",
    "history-incomplete": "start the center that has it; while nothing is published, put back what "
    "somebody holds: config-center restore FILE -n {ns}; else: config-center restore "
    "--accept-loss -n {ns}",
}


def judge(facts: Facts) -> Iterator[Check]:
    """Each namespace's mode, and why."""
    modes = facts.modes or {}
    for ns, about in sorted(modes.items()):
        mode, reason = about["mode"], about["reason"]
        if mode != "ready":
            why = f" ({reason})" if reason else ""
            mend = _MEND.get(mode, "see the center's log").format(ns=ns)
            yield fail(SUBJECT, f"{ns} takes no changes: {mode}{why}", mend)
    own = [ns for ns in sorted(modes) if ns != CENTER]
    ready = [ns for ns in own if modes[ns]["mode"] == "ready"]
    if ready:
        yield ok(SUBJECT, _count(own, ready, facts.frozen or {}))


def _count(own: list[str], ready: list[str], frozen: Mapping[str, object]) -> str:
    """What is frozen takes no changes, which is no fault; the check of freezes says who and why."""
    if CENTER in frozen:
        return f"0 of {len(own)} take changes: the whole center is frozen"
    stopped = [ns for ns in ready if ns in frozen]
    count = f"{len(ready) - len(stopped)} of {len(own)} take changes"
    return f"{count}; frozen: {', '.join(stopped)}" if stopped else count
