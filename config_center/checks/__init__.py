"""Is everything fit to keep configuration? One file a subject, one table, in the order to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks import (
    clock,
    disk,
    durability,
    files,
    fleet,
    journal,
    keys,
    limits,
    namespaces,
    peers,
    replicas,
    rights,
    server,
)
from config_center.checks.base import Check as Check
from config_center.checks.base import Facts as Facts
from config_center.checks.base import Level as Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKS: dict[str, Callable[[Facts], Iterator[Check]]] = {
    member.SUBJECT: member.judge
    for member in (
        *(keys, files, disk, limits, clock),
        *(server, rights, durability, replicas),
        *(journal, peers, namespaces, fleet),
    )
}


def judge(facts: Facts) -> list[Check]:
    """Everything that can be said of these facts."""
    return [check for member in CHECKS.values() for check in member(facts)]


def worst(checks: list[Check]) -> Level:
    """The gravest of them; nothing at all is fine."""
    order = list(Level)
    return max((check.level for check in checks), key=order.index, default=Level.OK)
