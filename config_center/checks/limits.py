"""May the process open as many files as it may have event streams?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "limits"

OWN = 256  # journal, store, requests, libraries


def judge(facts: Facts) -> Iterator[Check]:
    """The limit of open files against the limit of event streams."""
    limit = facts.open_files
    if limit is None:
        return
    wanted = facts.watches + OWN
    mend = f"ulimit -n {wanted} before it starts, or LimitNOFILE={wanted} in its unit"
    if limit < OWN:
        yield fail(SUBJECT, f"the process may open {limit} files, a center needs {OWN}", mend)
    elif limit < wanted:
        sentence = (
            f"the process may open {limit} files: room for {limit - OWN} event streams, while"
        )
        yield warn(SUBJECT, f"{sentence} admission.watches allows {facts.watches}", mend)
    else:
        yield ok(SUBJECT, f"the process may open {limit} files")
