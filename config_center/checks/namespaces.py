"""Does every namespace take changes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "namespaces"

_MEND = {
    "starting": "wait: the center still reads it",
    "store-unavailable": "see to the store, and to the disk of the journal",
    "store-empty": "bring the store's data back, or config-center restore --from-journal -n {ns}",
    "tampered": "find out who writes to the store (ACL LIST), then put it right",
    "key-refused": "config-center trust rotate gives this center another signing key",
    "history-incomplete": "start the center that has it, or restore --accept-loss -n {ns}",
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
    ready = sum(about["mode"] == "ready" for about in modes.values())
    if ready:
        yield ok(SUBJECT, f"{ready} of {len(modes)} take changes")
