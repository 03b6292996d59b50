"""
How a request becomes a committed change, and the answer to it.

What is answered is built from the committed header alone, so a retry under the same Idempotency-Key
gets the same answer, from any center, after any restart. The hash of what was asked is keyed: it
lies in a record that every client can read, and a plain hash would let them try out short secrets.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.bodies import decode_body
from client_sdk.data_keys import SHREDDED
from client_sdk.records import change_id
from config_center import reading
from config_center.access import require_keys
from config_center.ledger.words import Draft, Planned
from config_center.problems import Problem, not_found
from config_center.publishing import (
    Change,
    Condition,
    Operation,
    check_comment,
    looks_secret,
    text_dropped,
    unchanged,
)
from config_center.review.policy import (
    KINDS,
    REVERT,
    Intent,
    check_urgent,
    may_publish,
    policy_of,
)
from config_center.rollouts.book import timestamp
from config_center.rollouts.plan import Terms, plan_move
from config_center.schemas import binding_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.contents import Op
    from client_sdk.keks import Keks
    from client_sdk.records import Header
    from client_sdk.sealing import Rng
    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.words import Committed
    from config_center.review.policy import Freeze
    from config_center.rollouts.plan import Move
    from config_center.space import Space

_CANCEL = "cancel"
_HASH = b"config-center/request-hash/1\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body and the ETag to go with it."""

    body: dict[str, Any]
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """
    Who asks for what, and why: everything of a write but its operations.

    ``verb`` is one of those that a policy knows (config_center/review/policy.py). ``ident``: the id
    of the change, where it was given out before.
    """

    actor: Actor
    verb: str
    asked: Mapping[str, Any]
    comment: str = ""
    idempotency_key: str | None = None
    urgent: bool = False
    approved_by: str = ""
    ident: str = ""


class Changes:
    """
    The writes of a center. ``center_freeze`` says whether all of it is frozen; ``urgent`` counts
    what was published in an emergency, by namespace.
    """

    def __init__(
        self,
        keks: Callable[[], Keks],
        clock_ms: Callable[[], int],
        rng: Rng,
        center_freeze: Callable[[], Freeze | None],
    ) -> None:
        self.urgent: Counter[str] = Counter()
        self._center_freeze = center_freeze
        self._keks = keks
        self._clock_ms = clock_ms
        self._rng = rng

    def change(
        self,
        operations: tuple[Operation, ...],
        rollout: Mapping[str, Any] | None,
        actor: Actor,
        *,
        supersede: bool = False,
    ) -> Change:
        """The change of these operations; its rollout is given its id here. Raises Problem 400."""
        if rollout is None:
            return Change(operations, None, supersede)
        terms = Terms.read(rollout)
        keys = [operation.key for operation in operations]
        ident = "ro_" + self._rng(8).hex()
        started = terms.start(ident, keys, self._clock_ms(), actor.name)
        return Change(operations, started, supersede)

    async def commit(self, space: Space, change: Change, wish: Wish) -> tuple[Header, list[str]]:
        """Commit a change; its header and warnings. Raises Problem."""
        intent = Intent(
            KINDS[wish.verb],
            staged=is_staged(change),
            conditional=all(op.condition != Condition() for op in change.operations),
            urgent=wish.urgent,
            approved=bool(wish.approved_by),
        )
        done = await self.submit(space, lambda state: space.plan(state, change), wish, intent)
        if not done.replayed:
            return done.header, done.result
        return done.header, await _warnings(space, done.header, change)

    async def submit(
        self,
        space: Space,
        plan: Callable[[NamespaceState], Planned],
        wish: Wish,
        intent: Intent | None = None,
    ) -> Committed:
        """
        Commit what ``plan`` says, if the policy of the namespace lets it pass; ``intent`` is what
        it judges, where the verb alone does not say it. Raises Problem 403 when the plan touches a
        key beyond the actor's reach: the door looked at what was asked, here it is what comes of it
        (a key that is superseded may be one of a rollout on several).
        """
        check_urgent(wish.comment, urgent=wish.urgent)
        judged = intent or Intent(
            KINDS[wish.verb], urgent=wish.urgent, approved=bool(wish.approved_by)
        )

        def judge_and_plan(state: NamespaceState) -> Planned:
            may_publish(policy_of(state), self._center_freeze(), wish.actor, judged)
            planned = plan(state)
            # A data key is of one key only, which the door has seen.
            keys = [op.key for op in planned.ops if not op.key.startswith(SHREDDED)]
            require_keys(wish.actor, space.ledger.ns, keys)
            return planned

        done = await self.write(space.ledger, judge_and_plan, wish)
        if wish.urgent and not done.replayed:
            self.urgent[space.ledger.ns] += 1
        return done

    async def write(
        self, ledger: Ledger, plan: Callable[[NamespaceState], Planned], wish: Wish
    ) -> Committed:
        """Commit what ``plan`` says, whatever a policy says."""
        ns, actor = ledger.ns, wish.actor
        ident = wish.ident or self._rng(16).hex()
        if wish.idempotency_key is not None:
            ident = change_id(ns, actor.name, wish.idempotency_key)
        newest, *older = self._hashes(wish.verb, wish.asked)
        draft = Draft(
            ident,
            newest,
            actor.name,
            plan,
            check_comment(wish.comment),
            actor.request_id,
            minted=wish.idempotency_key is None and not wish.ident,
            also=tuple(older),
            approved_by=wish.approved_by,
            urgent=wish.urgent,
        )
        return await ledger.submit(draft)

    async def move(self, space: Space, which: str, move: Move, wish: Wish) -> Answer:
        """Move the rollout of this id, or on this key. Raises Problem 404, 409."""
        book = space.past.book
        story = book.find(which)
        ident = which if story is None else story.rollout.id  # the one that was looked at
        shrinks = story is not None and move.shrinks(story.rollout.percent)
        intent = Intent(REVERT if shrinks else KINDS[wish.verb], urgent=wish.urgent)

        def plan(state: NamespaceState) -> Planned:
            if story is not None and not story.running:
                raise Problem(
                    "rollout-ended", f"the rollout was {story.state} already", rollout=ident
                )
            return Planned(plan_move(state, ident, move))

        done = await self.submit(space, plan, wish, intent)
        moved = book.moved_at(str(done.position)) if done.replayed else book.find(ident)
        if moved is None:
            raise not_found(f"the rollout {ident} was ended and forgotten; see the key's versions")
        return Answer(space.story_words(moved), f'"{done.position}"')

    async def state(self, space: Space, which: str, actor: Actor) -> dict[str, Any]:
        """
        What became of a change, by its id or the caller's Idempotency-Key. Raises Problem 403 for
        one of keys beyond the actor's reach, of schemas and rules too.
        """
        for ident in _idents(space, which, actor):
            found = await space.ledger.find(ident)
            if found is not None:
                require_keys(actor, space.ledger.ns, [op.key for op in found.header.ops])
                safe = await space.ledger.store.is_replicated(space.ledger.ns)
                return _state_json(ident, found.header, safe=safe)
        return {"state": "absent", "change": _idents(space, which, actor)[0]}

    async def cancel(self, space: Space, which: str, actor: Actor) -> dict[str, Any]:
        """
        Make sure that a change never takes effect. Raises Problem 409 ``already-committed``.

        An Idempotency-Key may look like an id: then both are made void. An id may be anybody's, of
        any key; so a token with a prefix names its own change by its Idempotency-Key. Raises
        Problem 403.
        """
        told, idents = {}, _idents(space, which, actor)
        if len(idents) > 1 and not actor.reach.whole(space.ledger.ns):
            raise Problem("forbidden", "with a token of a prefix, name the Idempotency-Key instead")
        for ident in reversed(idents):
            told = await self.void(space, ident, actor)
        return told

    async def void(self, space: Space, ident: str, actor: Actor) -> dict[str, Any]:
        """The same for the id of a change, and nothing else that it may be."""
        draft = Draft(ident, _CANCEL, actor.name, _nothing, request=actor.request_id, type=_CANCEL)
        try:
            done = await space.ledger.submit(draft)
        except Problem as problem:
            if problem.name != "id-reused":
                raise
            raise Problem(
                "already-committed",
                "the change took effect before it was cancelled; roll it back instead",
                change=ident,
            ) from None
        return _state_json(ident, done.header)

    def _hashes(self, verb: str, asked: Mapping[str, Any]) -> list[str]:
        """One for each key-encryption key: a retry may come after they were exchanged."""
        text = orjson.dumps([verb, asked], option=orjson.OPT_SORT_KEYS)
        secrets = [hashlib.sha256(_HASH + kek.secret).digest() for kek in self._keks().keys]
        return [hmac.digest(secret, text, "sha256").hex() for secret in secrets]


def key_answer(header: Header, key: str, warnings: list[str]) -> Answer:
    """The answer to a write of one key."""
    return Answer(reading.publish_words(header, key, warnings), f'"{header.position}"')


def is_staged(change: Change) -> bool:
    """True when not everybody gets it at once."""
    return change.rollout is not None and change.rollout.percent < 100


def _nothing(_: NamespaceState) -> Planned:
    return Planned(())


def _idents(space: Space, which: str, actor: Actor) -> list[str]:
    derived = change_id(space.ledger.ns, actor.name, which)
    is_id = len(which) == len(derived) and set(which) <= set("0123456789abcdef")
    return [which, derived] if is_id else [derived]


def _state_json(ident: str, header: Header, *, safe: bool = True) -> dict[str, Any]:
    if header.type == _CANCEL:
        return {"state": "cancelled", "change": ident}
    return {
        "state": "acknowledged" if safe else "committed",
        "change": ident,
        "epoch": header.e,
        "revision": header.v,
        "author": header.author,
        "comment": header.comment,
        **reading.agreed_words(header),
        "at": timestamp(header.ts),
        "keys": [op.key for op in header.ops if not op.key.startswith("_")],
    }


async def _warnings(space: Space, header: Header, change: Change) -> list[str]:
    """The warnings of a change that was committed before, from history."""
    ops = {op.key: op for op in header.ops}
    told: list[str] = []
    for operation in change.operations:
        op = ops.get(operation.key)
        if op is None or operation.op == "delete":
            continue
        if operation.op == "put":
            bound = binding_of(space.ledger.state, op.key)
            told += looks_secret(op.key, operation.value, bound)
        told += await _warnings_of(space, op)
    return told


async def _warnings_of(space: Space, op: Op) -> list[str]:
    journal, ns = space.ledger.journal, space.ledger.ns
    now = await journal.version(ns, op.key, op.latest)
    before = await journal.version(ns, op.key, op.latest - 1)
    told: list[str] = []
    if now is None:
        return told
    if now.content.format in ("yaml", "toml") and decode_body(now.content)[1] is None:
        told.append(text_dropped(op.key))
    if before is not None and before.content.sha256 == now.content.sha256:
        told.append(unchanged(op.key, before.content.version))
    return told
