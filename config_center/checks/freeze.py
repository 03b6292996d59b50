"""Did somebody stop publishing? It is no fault, but one that is forgotten looks like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import CENTER, Facts, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "freeze"


def judge(facts: Facts) -> Iterator[Check]:
    """Each freeze: who, since when and why."""
    if facts.frozen is None:
        return
    for ns, about in sorted(facts.frozen.items()):
        what, option = ("the whole center", "") if ns == CENTER else (ns, f" -n {ns}")
        yield warn(
            SUBJECT,
            f"{what} is frozen since {about['since']} by {about['by']}: {about['reason']}",
            f"when it is over: config-center unfreeze{option}; rollback and abort work meanwhile",
        )
    if not facts.frozen:
        yield ok(SUBJECT, "nothing is frozen")
