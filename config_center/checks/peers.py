"""Do the other centers answer? One that is away cannot bring back what it alone has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check

SUBJECT = "peers"


def judge(facts: Facts) -> Iterator[Check]:
    """Each peer of the settings."""
    for peer in facts.peers or ():
        if peer.problem:
            mend = "start it, or take it out of the setting peers; its trust.json must be ours"
            yield warn(SUBJECT, f"the peer {peer.url} does not help: {peer.problem}", mend)
        else:
            yield ok(SUBJECT, f"the peer {peer.url} answers and believes this center's key")
