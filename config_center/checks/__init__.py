"""Is everything fit to keep configuration? One file a subject, one table, in the order to mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from config_center.checks import (
    audit,
    clock,
    disk,
    durability,
    files,
    fleet,
    freeze,
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
        *(journal, audit, peers, namespaces, freeze, fleet),
    )
}


_OF_THE_STORE = {member.SUBJECT for member in (server, rights, durability, replicas)}


def judge(facts: Facts) -> list[Check]:
    """Everything that can be said of these facts; of a cluster, node by node."""
    nodes = facts.store if isinstance(facts.store, Mapping) else None
    if nodes is None:
        return [check for member in CHECKS.values() for check in member(facts)]
    found: list[Check] = []
    for subject, member in CHECKS.items():
        if subject not in _OF_THE_STORE:
            found += member(replace(facts, store=None))
            continue
        for name, node in nodes.items():
            checks = member(replace(facts, store=node))
            found += [replace(one, sentence=f"{name}: {one.sentence}") for one in checks]
    return found


def worst(checks: list[Check]) -> Level:
    """The gravest of them; nothing at all is fine."""
    order = list(Level)
    return max((check.level for check in checks), key=order.index, default=Level.OK)
