"""Are there as many replicas as have to have a change before it counts?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, StoreFacts, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config_center.checks.base import Check

SUBJECT = "replicas"


def judge(facts: Facts) -> Iterator[Check]:
    """``ack_replicas`` and ``min-replicas-to-write`` against the replicas that are online."""
    store = facts.store
    if isinstance(store, StoreFacts) and store.replicas is not None:
        yield _waited_for(store.replicas, facts.ack_replicas)
        yield from _needed(store.replicas, store.config or {})


def _waited_for(there: int, wanted: int) -> Check:
    if there < wanted:
        sentence = f"{_count(there)}, but ack_replicas is {wanted}: every change ends as 504"
        return fail(SUBJECT, sentence, "bring the replicas back, or lower ack_replicas")
    if there and not wanted:
        sentence = f"{_count(there)}, and nothing waits for them: a failover may lose changes"
        return warn(SUBJECT, f"{sentence} until a journal brings them back", "set ack_replicas = 1")
    return ok(SUBJECT, f"{_count(there)}, {wanted} must have a change")


def _needed(there: int, config: Mapping[str, str]) -> Iterator[Check]:
    least = int(config.get("min-replicas-to-write", "0") or 0)
    if least > there:
        sentence = f"min-replicas-to-write is {least}, and {_count(there)}: changes are refused"
        yield fail(SUBJECT, sentence, "bring the replicas back")
    elif there and not least:
        sentence = "min-replicas-to-write is 0: a master that was cut off goes on taking changes"
        yield warn(SUBJECT, sentence, "CONFIG SET min-replicas-to-write 1")


def _count(there: int) -> str:
    return f"the store has {there} replica{'' if there == 1 else 's'}"
