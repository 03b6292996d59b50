"""Does the audit end as it was sealed?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "audit"


def judge(facts: Facts) -> Iterator[Check]:
    """What looking at its end said, and whether it is written."""
    audit = facts.audit
    if audit is None:
        return
    if audit.down:
        yield fail(
            SUBJECT,
            f"it cannot be written ({audit.down}), and no change is taken meanwhile",
            "make room in the data directory; the center goes on by itself",
        )
    if audit.problem:
        yield fail(
            SUBJECT,
            f"{audit.path} is not as it was sealed: {audit.problem}",
            "somebody changed it, or the disk did: keep the file, find out who writes to the data "
            "directory; the center's next start puts it aside and begins anew",
        )
    else:
        yield ok(
            SUBJECT,
            f"the {audit.entries:,} entries end as they were sealed; config-center audit verify "
            "looks through all of them",
        )
    for name in audit.aside:
        yield fail(
            SUBJECT,
            f"{name} was put aside because it was not as it was sealed",
            f"find out why (config-center audit verify {name}), then move it away",
        )
