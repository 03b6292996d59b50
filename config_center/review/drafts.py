"""Drafts: made, looked at, approved, rejected and withdrawn (the law is in stored.py)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from client_sdk.data_keys import deks_in_bodies
from client_sdk.errors import ConfigError
from client_sdk.records import change_id
from client_sdk.sealing import FINGERPRINT
from config_center import asking, reading
from config_center.access import require_keys, require_whole
from config_center.changes import Wish, is_staged
from config_center.ledger.rings import keep, settle_now
from config_center.ledger.words import Planned
from config_center.namespaces import plan_binding
from config_center.problems import Problem, invalid
from config_center.publishing import Change, Operation, check_comment, check_key
from config_center.review import stored
from config_center.review.author import GONE, author_of, require_author
from config_center.review.policies import plan_rules
from config_center.review.policy import (
    DEFINE,
    GOVERN,
    POLICY,
    PUBLISH,
    Intent,
    changed,
    may_publish,
    policy_of,
    record_op,
)
from config_center.review.proposal import changes_of
from config_center.review.stored import Part, StoredDraft
from config_center.schemas import PREFIX as SCHEMA
from config_center.schemas import compile_binding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.image import Ring
    from client_sdk.records import Header
    from client_sdk.sealing import Rng
    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.bounds import Limits
    from config_center.changes import Changes
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.registry import Registry
    from config_center.space import Space

log = logging.getLogger(__name__)

_FIELDS = {"operations": stored.CHANGE, "schema": stored.SCHEMA, "policy": stored.RULES}


class Drafts:
    """The part of the service that is about the second person."""

    def __init__(
        self,
        registry: Registry,
        changes: Changes,
        space_of: Callable[[str], Space],
        limits: Limits,
        *,
        clock_ms: Callable[[], int],
        rng: Rng,
    ) -> None:
        self._registry = registry
        self._changes = changes
        self._space_of = space_of
        self._limits = limits
        self._clock_ms = clock_ms
        self._rng = rng

    # -- making -------------------------------------------------------------------------------

    async def create(
        self, ns: str, asked: Mapping[str, Any], actor: Actor, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """
        Keep a change for somebody else to approve. ``asked`` is the body of a change of several
        keys, or has ``schema`` (with ``key``) or ``policy`` in place of the operations.

        All that a publish checks is checked now, and again when it is approved. Raises Problem,
        403 for what lies beyond the reach of ``actor``.
        """
        space = self._space_of(ns)
        space.ledger.require_ready()
        draft, ids = self._begin(ns, asked, actor, idempotency_key)
        fresh = await self._registry.system.find(ids) is None
        warnings: list[str] = []
        ring: Ring = {}
        try:
            draft, warnings, ring = await _MAKERS[draft.kind](self, space, draft, asked, actor)
        except Problem:
            if fresh:
                raise  # else what counts is what was kept, whatever has moved since
        replaced = asked.get("replaces")
        if replaced is not None:
            self._mine(ns, replaced, actor)

        def plan(system: NamespaceState) -> Planned:
            place = self._free_place(system, draft)
            return Planned((record_op(system, place, draft.to_json()),))

        if ring and fresh:  # a retry keeps no second data key
            async with space.ledger.lock:
                await keep(space.ledger, ring)
        wish = Wish(actor, "draft", asked, draft.comment, ident=ids)
        await self._changes.write(self._registry.system, plan, wish)
        if replaced is not None:  # a draft too many is better than none
            await self.withdraw(ns, replaced, actor, f"replaced by {draft.id}")
        return {**await self.get(ns, draft.id, actor), "warnings": warnings}

    def _begin(
        self, ns: str, asked: Mapping[str, Any], actor: Actor, key: str | None
    ) -> tuple[StoredDraft, str]:
        """A draft without its parts, and the id of the change of ``_system`` that keeps it."""
        kinds = [kind for name, kind in _FIELDS.items() if asked.get(name) is not None]
        if len(kinds) != 1:
            raise invalid(f"a draft has one of {', '.join(_FIELDS)}")
        needed = stored.NEEDS[kinds[0]]
        if not actor.may(needed):
            raise Problem("forbidden", f"such a draft needs the permission {needed!r}")
        _require_reach(ns, kinds[0], asked, actor)
        ident, ids = self._rng(16).hex(), self._rng(16).hex()
        if key is not None:  # never the id of a plain publish under the same key
            ident = change_id(ns, actor.name, f"draft\n{key}")
            ids = change_id("_system", actor.name, f"draft\n{ns}\n{key}")
        comment = check_comment(asked.get("comment", ""))
        now = self._clock_ms()
        made = StoredDraft(ident, ns, kinds[0], actor.name, actor.token_id, comment, now, ())
        return made, ids

    async def _make_change(
        self, space: Space, draft: StoredDraft, asked: Mapping[str, Any], actor: Actor
    ) -> tuple[StoredDraft, list[str], Ring]:
        operations = await asking.operations(asked["operations"], self._limits)
        rollout, supersede = asked.get("rollout"), bool(asked.get("supersede"))
        change = self._changes.change(operations, rollout, actor, supersede=supersede)
        state = space.ledger.state
        rules = replace(policy_of(state), frozen=None)  # one may prepare what has to wait
        may_publish(rules, None, actor, _intent_of(change))
        planned = space.plan(state, change)
        require_keys(actor, space.ledger.ns, [op.key for op in planned.ops])  # superseded ones, too
        ops = {op.key: op for op in planned.ops}
        parts = tuple(stored.part_of(state, ops[operation.key]) for operation in operations)
        made = replace(draft, parts=parts, rollout=rollout, supersede=supersede)
        self._free_place(self._registry.system.state, made)  # or no data key is kept
        # Without the fingerprint key: which one a namespace has, its first publish decides.
        ring = {name: text for name, text in planned.ring.items() if name != FINGERPRINT}
        return made, planned.result, ring

    def _free_place(self, system: NamespaceState, draft: StoredDraft) -> str:
        return stored.free_place(system, draft, draft.at, self._limits.drafts_per_author)

    async def _make_schema(
        self, space: Space, draft: StoredDraft, asked: Mapping[str, Any], _: Actor
    ) -> tuple[StoredDraft, list[str], Ring]:
        body, key = dict(asked["schema"]), asked.get("key")
        check_key(str(key))
        state = space.ledger.state
        planned = plan_binding(state, str(key), body, compile_binding(body))
        part = Part("schema", SCHEMA + str(key), stored.base_of(state, SCHEMA + str(key)))
        return replace(draft, parts=(part,), about=body), planned.result, {}

    async def _make_rules(
        self, space: Space, draft: StoredDraft, asked: Mapping[str, Any], _: Actor
    ) -> tuple[StoredDraft, list[str], Ring]:
        state, rules = space.ledger.state, dict(asked["policy"])
        changed(policy_of(state), rules)
        part = Part("policy", POLICY, stored.base_of(state, POLICY))
        return replace(draft, parts=(part,), about=rules), [], {}

    # -- looking ------------------------------------------------------------------------------

    async def listed(self, ns: str, actor: Actor) -> list[dict[str, Any]]:
        """
        The drafts of a namespace that ``actor`` reaches, the newest first; ended ones as long as
        there is room.
        """
        space = self._space_of(ns)
        found = stored.drafts_of(self._registry.system.state, ns)
        seen = [draft for draft in found if stored.is_within(draft, actor.reach)]
        return [await self._words(space, draft) for draft in seen]

    async def get(self, ns: str, ident: str, actor: Actor) -> dict[str, Any]:
        """One draft with what it would change, secrets masked. Raises Problem 404."""
        space = self._space_of(ns)
        draft = self._reached(ns, ident, actor)
        words = await self._words(space, draft)
        changes = await asyncio.to_thread(changes_of, draft, space.ledger.state)
        return {**words, "changes": changes}

    async def _words(self, space: Space, draft: StoredDraft) -> dict[str, Any]:
        """What history says goes before what the draft's own record says: it may be late."""
        state, moved = draft.state, stored.moved_keys(draft, space.ledger.state)
        known = await space.ledger.find(draft.id)
        if state == stored.WAITING and known is not None:
            cancelled = known.header.type == "cancel"
            state = stored.WITHDRAWN if cancelled else stored.PUBLISHED
        elif state == stored.WAITING:
            state = self._open_state(draft) or ("moved" if moved else state)
        return draft.words(state, moved if state == "moved" else [])

    def _open_state(self, draft: StoredDraft) -> str:
        if not draft.is_open(self._clock_ms()):
            return "expired"
        return GONE if self._author(draft) is None else ""

    # -- deciding -----------------------------------------------------------------------------

    async def approve(self, ns: str, ident: str, content: str, actor: Actor) -> dict[str, Any]:
        """
        Publish a draft; ``content`` is the hash of what was looked at. Asked again it answers the
        same. Raises Problem 403 for its author, 404, 409 when it ended or its author could publish
        it no more, 412 when anything moved.
        """
        space = self._space_of(ns)
        if not actor.reach.whole(ns):
            self._reached(ns, ident, actor)  # an id may be of any change
        known = await space.ledger.find(ident)
        if known is not None:
            return _outcome(known.header, actor)
        draft = self._reached(ns, ident, actor)
        stored.check_approval(draft, actor, content, self._clock_ms())
        await _require_data_keys(space.ledger, draft)
        author = replace(self._require_author(draft), request_id=actor.request_id)
        plan, intent = self._plan(space, draft, author)
        plan = self._judged(draft, plan, actor)
        asked = {"draft": ident, "content": content, "by": actor.name}
        wish = Wish(author, "change", asked, draft.comment, approved_by=actor.name, ident=ident)
        try:
            done = await self._changes.submit(space, plan, wish, intent)
        except Problem as problem:
            known = await space.ledger.find(ident)
            if known is None or problem.name not in ("cancelled", "id-reused"):
                raise
            return _outcome(known.header, actor)
        await self._end(draft, stored.PUBLISHED, actor, "")
        return {**_outcome(done.header, actor), "warnings": done.result or []}

    async def reject(self, ns: str, ident: str, actor: Actor, comment: str = "") -> dict[str, Any]:
        """Make sure that a draft is never published. Raises Problem 404, 409."""
        return await self._refuse(ns, ident, stored.REJECTED, actor, comment)

    async def withdraw(
        self, ns: str, ident: str, actor: Actor, comment: str = ""
    ) -> dict[str, Any]:
        """The same by whoever wrote it, or an admin. Raises Problem 403, 404, 409."""
        self._mine(ns, ident, actor)
        return await self._refuse(ns, ident, stored.WITHDRAWN, actor, comment)

    def require_mine(self, ns: str, ident: str, actor: Actor) -> None:
        """Raise Problem 403 where this is the id of a draft that another wrote."""
        drafts = stored.drafts_of(self._registry.system.state, ns)
        if any(each.id == ident and stored.is_within(each, actor.reach) for each in drafts):
            self._mine(ns, ident, actor)

    def _reached(self, ns: str, ident: str, actor: Actor) -> StoredDraft:
        return stored.draft_of(self._registry.system.state, ns, ident, actor.reach)

    def _author(self, draft: StoredDraft) -> Actor | None:
        return author_of(self._registry.system.state, draft, self._clock_ms())

    def _require_author(self, draft: StoredDraft) -> Actor:
        return require_author(self._registry.system.state, draft, self._clock_ms())

    def _mine(self, ns: str, ident: str, actor: Actor) -> None:
        draft = self._reached(ns, ident, actor)
        if not stored.is_author(draft, actor) and not actor.may("admin"):
            raise Problem("forbidden", f"{draft.author} wrote this draft; reject it instead")

    async def _refuse(
        self, ns: str, ident: str, state: str, actor: Actor, comment: str
    ) -> dict[str, Any]:
        draft = self._reached(ns, ident, actor)
        if draft.state not in (stored.WAITING, state):
            raise stored.has_ended(draft.state)
        await self._changes.void(self._space_of(ns), ident, actor)
        await self._end(draft, state, actor, check_comment(comment))
        return await self.get(ns, ident, actor)

    async def _end(self, draft: StoredDraft, state: str, actor: Actor, comment: str) -> None:
        """Say so in its record, and drop its content. History has decided: this may come late."""
        ended = draft.ended(state, actor.name, comment, self._clock_ms())

        def plan(system: NamespaceState) -> Planned:
            now = [each for each in stored.drafts_of(system, draft.ns) if each.id == draft.id]
            if not now or now[0].state != stored.WAITING:
                return Planned(())
            return Planned((record_op(system, now[0].place, ended.to_json()),))

        wish = Wish(actor, "draft", {"draft": draft.id, "state": state}, comment)
        try:
            await self._changes.write(self._registry.system, plan, wish)
        except (Problem, ConfigError) as error:
            log.warning(
                "draft %s of %s was %s; not marked yet: %s", draft.id, draft.ns, state, error
            )

    # -- publishing ---------------------------------------------------------------------------

    def _judged(
        self, draft: StoredDraft, plan: Callable[[NamespaceState], Planned], approver: Actor
    ) -> Callable[[NamespaceState], Planned]:
        """The plan in the writer: nothing moved, and both persons may have what comes of it."""

        def checked(state: NamespaceState) -> Planned:
            stored.check_base(draft, state)
            self._require_author(draft)
            planned = plan(state)
            require_keys(approver, draft.ns, [op.key for op in planned.ops])
            return planned

        return checked

    def _plan(
        self, space: Space, draft: StoredDraft, author: Actor
    ) -> tuple[Callable[[NamespaceState], Planned], Intent]:
        """What a draft comes to."""
        about = dict(draft.about or {})
        if draft.kind == stored.SCHEMA:
            (part,) = draft.parts
            key, binding = part.key.removeprefix(SCHEMA), compile_binding(about)
            return lambda state: plan_binding(state, key, about, binding), _agreed(DEFINE)
        if draft.kind == stored.RULES:
            return plan_rules(about, author, approved=True), _agreed(GOVERN)
        change = self._changes.change(
            tuple(map(_operation, draft.parts)), draft.rollout, author, supersede=draft.supersede
        )
        return lambda state: space.plan(state, change), _intent_of(change)


_MAKERS = {
    stored.CHANGE: Drafts._make_change,
    stored.SCHEMA: Drafts._make_schema,
    stored.RULES: Drafts._make_rules,
}


async def _require_data_keys(ledger: Ledger, draft: StoredDraft) -> None:
    """Raise Problem 409 when a secret of the draft opens no more: nobody would have it."""
    deks = deks_in_bodies(part.body.encode() for part in draft.parts if part.body is not None)
    if not deks <= ledger.ring.keys():  # made at another center, and no record told of its ring
        async with ledger.lock:
            await settle_now(ledger)
    if not deks <= ledger.ring.keys():
        raise stored.has_ended("sealed with a data key that is gone")


def _require_reach(ns: str, kind: str, asked: Mapping[str, Any], actor: Actor) -> None:
    """Raise Problem 403 before anything is planned, and anything told of what lies beyond."""
    if kind != stored.CHANGE:
        require_whole(actor, ns)
        return
    named = [each.get("key") for each in asked["operations"] if isinstance(each, dict)]
    require_keys(actor, ns, [key for key in named if isinstance(key, str)])


def _agreed(kind: str) -> Intent:
    return Intent(kind, conditional=True, approved=True)


def _intent_of(change: Change) -> Intent:
    return replace(_agreed(PUBLISH), staged=is_staged(change))


def _operation(part: Part) -> Operation:
    content = part.content()
    if content is None:
        return Operation("delete", part.key)
    return Operation("drafted", part.key, format=part.format, content=content)


def _outcome(header: Header, actor: Actor) -> dict[str, Any]:
    """What a decided draft answers whoever approves it. Raises Problem 409."""
    if header.type == "cancel":
        raise stored.has_ended("rejected or withdrawn")
    if header.approved_by != actor.name:
        raise Problem(
            "already-committed",
            f"it was published already, approved by {header.approved_by or 'nobody'}",
            change=header.id,
        )
    keys = [op.key for op in header.ops if not op.key.startswith("_")]
    return {
        "draft": header.id,
        "state": stored.PUBLISHED,
        "author": header.author,
        "approved_by": header.approved_by,
        **reading.change_words(header, keys, []),
    }
