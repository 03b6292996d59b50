"""
What a lost change comes to on the present, and whether it may come back.

It stood on a state that is gone, so it is planned anew: a value as a draft's is that was sealed
before (config_center.publishing), with everything that a publish is held to now: the schema that is
bound by now, the room, the rollout that runs. What was destroyed since stays destroyed, in a value
that comes back and in a shredding that does. Rules come back without the freeze of their hour.

It is judged by the policy and the freeze that hold now, each operation as what it is: a value is a
publish whatever verb it once was, the end of a namespace is its end. Records of the center itself
(tokens, drafts, namespaces) are judged by nobody, as when they were made; but none of them takes a
place that somebody else's has by now, nor freezes or unfreezes the center.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from client_sdk.contents import Op
from client_sdk.data_keys import SHREDDED
from config_center.ledger.words import Planned
from config_center.problems import Problem
from config_center.publishing import Change, Operation
from config_center.review import stored
from config_center.review.policy import (
    DEFINE,
    END,
    FREEZE,
    GOVERN,
    POLICY,
    PUBLISH,
    REVERT,
    Intent,
    may_publish,
    policy_in,
    policy_of,
    rules_again,
)
from config_center.schemas import PREFIX as SCHEMA
from config_center.secrets.shredding import check_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client_sdk.contents import Content
    from client_sdk.records import Record
    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.review.policy import Freeze, Policy
    from config_center.space import Space


def plan_again(state: NamespaceState, row: Record, space: Space | None) -> Planned:
    """
    The operations of a lost record on the present: what was new then is a new version now.
    ``space`` is its namespace's, None for a record of the center itself. Raises Problem for what
    cannot come back.
    """
    ops = state.embody(row.header.ops, row.bodies)
    for op in ops:
        content = _new_content(op)
        if content is not None and content.body is None:
            raise Problem("history-incomplete", f"the value of {op.key} is not kept any more")
    if space is None:
        return Planned(tuple(_of_center(state, op) for op in ops))
    planned = [_reserved(state, op) for op in ops if op.key.startswith("_")]
    ring: dict[str, str] = {}
    for change in _changes(op for op in ops if not op.key.startswith("_")):
        part = space.plan(state, change)
        planned += part.ops
        ring.update(part.ring)
    return Planned(tuple(planned), ring)


def judge_again(
    state: NamespaceState,
    center: Freeze | None,
    row: Record,
    ops: Iterable[Op],
    actor: Actor,
    *,
    urgent: bool,
) -> None:
    """Raise Problem where the policy or a freeze of now refuses these operations of ``actor``."""
    policy = policy_of(state)
    intents = [_intent_of(op, policy) for op in ops]
    if row.header.type == "end":
        intents.append(Intent(END))
    for intent in intents:
        may_publish(policy, center, actor, replace(intent, urgent=urgent))


def _intent_of(op: Op, policy: Policy) -> Intent:
    """What an operation that comes back is, for whoever judges it: somebody looked at it now."""
    if op.key == POLICY:
        # Old rules come back like any other: what they would take away takes two persons now.
        return Intent(GOVERN, weakens=policy_in(op.content).is_weaker_than(policy))
    if op.key.startswith(SHREDDED):
        return Intent(REVERT)
    if op.key.startswith(SCHEMA):
        return Intent(DEFINE)
    staged = op.rollout is not None and op.rollout.percent < 100
    return Intent(PUBLISH, staged=staged, conditional=True)


def _new_content(op: Op) -> Content | None:
    return op.content if op.rollout is None else op.rollout.content


def _changes(ops: Iterable[Op]) -> Iterator[Change]:
    """One for each rollout that they are part of, and one for those that are of none."""
    parts: dict[str, list[Op]] = {}
    for op in ops:
        parts.setdefault("" if op.rollout is None else op.rollout.id, []).append(op)
    for same in parts.values():
        rollout = same[0].rollout
        rollout = None if rollout is None else replace(rollout, content=None)
        yield Change(tuple(map(_operation, same)), rollout)


def _operation(op: Op) -> Operation:
    content = _new_content(op)
    if content is None:
        return Operation("delete", op.key)
    return Operation("drafted", op.key, format=content.format, content=content)


def _reserved(state: NamespaceState, op: Op) -> Op:
    if op.key == POLICY and op.content is not None:
        return rules_again(state, op.content)
    if op.key.startswith(SHREDDED):
        check_again(state, op)
    return _anew(state, op)


def _of_center(state: NamespaceState, op: Op) -> Op:
    if op.key == FREEZE:
        raise Problem(
            "nothing-lost",
            "a freeze is not brought back by what was lost: freeze or unfreeze the center now if "
            "it has to be, and drop this",
        )
    if op.key.startswith(stored.PREFIX) and op.content is not None:
        stored.check_place(state, op.key, op.content)
    return _anew(state, op)


def _anew(state: NamespaceState, op: Op) -> Op:
    entry = state.entries.get(op.key)
    latest = 0 if entry is None else entry.latest
    if op.content is None:
        return Op(op.key, "del", latest, None)
    return Op(op.key, "set", latest + 1, replace(op.content, version=latest + 1))
