"""
What the center can be asked, as plain calls: the HTTP API, ``up`` and tests use this one facade.

Every method raises Problem to refuse, and answers as the contract says. Reads come from verified
memory and never wait; versions and differences ask the journal.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from config_center import asking, reading
from config_center.changes import Answer, Changes, Wish, key_answer
from config_center.events import Authors
from config_center.history import Histories
from config_center.ledger.words import Draft, Mode, Planned
from config_center.logging_in import LoggingIn
from config_center.namespaces import (
    binding_op,
    binding_words,
    check_name,
    namespace_json,
    plan_binding,
    template_bindings,
)
from config_center.oidc import Oidc
from config_center.problems import not_found
from config_center.publishing import Condition, Operation, Put, check_key
from config_center.recovering import Recovery
from config_center.reports import Reports
from config_center.review.drafts import Drafts
from config_center.review.policies import Policies
from config_center.review.policy import center_freeze
from config_center.rollouts.moves import Rollouts
from config_center.schemas import binding_of, compile_binding, kinds_json
from config_center.scopes import EVERYTHING
from config_center.secrets.exchange import Exchange
from config_center.secrets.values import Secrets
from config_center.space import Space
from config_center.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.audit.audit import Audit
    from config_center.bounds import Limits
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.registry import Registry
    from config_center.rotation import Rotation
    from config_center.scopes import Reach
    from config_center.secrets.exchange import HeldKeks

__all__ = ["Answer", "Service"]


class Service:
    """``clock_ms`` gives milliseconds since 1970, ``rng(n)`` n random bytes."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        keks: HeldKeks,
        rotation: Rotation,
        *,
        clock_ms: Callable[[], int],
        rng: Callable[[int], bytes],
        audit: Audit,
        oidc: Oidc | None = None,
    ) -> None:
        self.registry = registry
        self.audit = audit
        self.rotation = rotation
        self._limits = limits
        self.keks = Exchange(registry, keks, rng)
        self._rng = rng
        self._spaces: dict[str, Space] = {}
        self._changes = Changes(
            lambda: self.keks.all, clock_ms, rng, lambda: center_freeze(registry.system.state)
        )
        self.rollouts = Rollouts(self._space, self._changes)
        self.secrets = Secrets(self._space, self._changes, self.keks)
        self.tokens = Tokens(registry, rng, clock_ms)
        self.login = LoggingIn(oidc or Oidc(), self.tokens, rng)
        self.reports = Reports(registry, self._spaces, clock_ms)
        self.recovery = Recovery(registry, self._space, self._changes.urgent)
        self.authors = Authors(lambda: registry.system.state)
        self.policies = Policies(registry, self._changes, self._space, clock_ms)
        self.drafts = Drafts(
            registry, self._changes, self._space, limits, clock_ms=clock_ms, rng=rng
        )

    async def open(self) -> None:
        """Read every namespace's past, and follow what comes."""
        await self.login.open()
        for ns, ledger in self.registry.ledgers.items():
            if not ns.startswith("_") and ledger.mode is not Mode.ENDED:
                await self._add(ledger)
        self.registry.on_attached = self._add
        self.reports.start()
        self.keks.start()
        self.rotation.start()

    async def close(self) -> None:
        """Stop following."""
        await self.rotation.close()
        await self.keks.close()
        await self.reports.close()
        for space in self._spaces.values():
            space.close()

    def ledger(self, ns: str) -> Ledger:
        """The ledger of a namespace. Raises Problem 404."""
        return self.registry.get(ns)

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The namespaces that clients may use."""
        return self._spaces

    def modes(self) -> dict[str, dict[str, str]]:
        """Whether each namespace takes changes, and why not."""
        return {
            ns: ledger.readiness()
            for ns, ledger in self.registry.ledgers.items()
            if ledger.mode is not Mode.ENDED
        }

    # -- publishing ---------------------------------------------------------------------------

    async def put(self, ns: str, key: str, put: Put, actor: Actor) -> Answer:
        """Publish a value, to all or to a canary."""
        space = self._space(ns)
        operation = await asking.put_operation(key, put, self._limits)
        change = self._changes.change((operation,), put.rollout, actor, supersede=put.supersede)
        asked = {
            "key": key,
            "value": operation.value,
            "text": operation.text,
            "format": put.format,
            "rollout": put.rollout,
            "conditions": [put.if_match, put.if_none_match, put.supersede],
            "comment": put.comment,
        }
        wish = Wish(actor, "put", asked, put.comment, put.idempotency_key, put.urgent)
        header, warnings = await self._changes.commit(space, change, wish)
        return key_answer(header, key, warnings)

    async def validate(self, ns: str, key: str, put: Put, actor: Actor) -> dict[str, Any]:
        """Everything that a publish would check, without publishing."""
        space = self._space(ns)
        operation = await asking.put_operation(key, put, self._limits)
        change = self._changes.change((operation,), put.rollout, actor, supersede=put.supersede)
        planned = space.plan(space.ledger.state, change, dry=True)
        return {"ok": True, "warnings": planned.result}

    async def delete(
        self,
        ns: str,
        key: str,
        actor: Actor,
        comment: str = "",
        if_match: str | None = None,
        idempotency_key: str | None = None,
        supersede: bool = False,
        urgent: bool = False,
    ) -> Answer:
        """Remove a key; a rollback brings it back."""
        check_key(key)
        operation = Operation("delete", key, condition=Condition(if_match))
        asked = {"key": key, "conditions": [if_match, supersede], "comment": comment}
        wish = Wish(actor, "delete", asked, comment, idempotency_key, urgent)
        return await self._one(ns, operation, wish, supersede)

    async def rollback(
        self,
        ns: str,
        key: str,
        to: int | None,
        actor: Actor,
        comment: str = "",
        if_match: str | None = None,
        idempotency_key: str | None = None,
        supersede: bool = False,
    ) -> Answer:
        """Publish an older version's content as a new one; ``None``: the stable one before."""
        operation = await self._history(ns).way_back(key, to, Condition(if_match))
        asked = {"key": key, "to": to, "conditions": [if_match, supersede], "comment": comment}
        wish = Wish(actor, "rollback", asked, comment, idempotency_key)
        return await self._one(ns, operation, wish, supersede)

    async def change(
        self,
        ns: str,
        operations: list[dict[str, Any]],
        comment: str,
        rollout: dict[str, Any] | None,
        idempotency_key: str | None,
        supersede: bool,
        actor: Actor,
        urgent: bool = False,
    ) -> Answer:
        """Several operations as one revision, with one rollout for all of them."""
        space = self._space(ns)
        parsed = await asking.operations(operations, self._limits)
        change = self._changes.change(parsed, rollout, actor, supersede=supersede)
        asked = {
            "operations": operations,
            "rollout": rollout,
            "supersede": supersede,
            "comment": comment,
        }
        wish = Wish(actor, "change", asked, comment, idempotency_key, urgent)
        header, warnings = await self._changes.commit(space, change, wish)
        keys = [operation.key for operation in parsed]
        return Answer(reading.change_words(header, keys, warnings), f'"{header.position}"')

    async def change_state(self, ns: str, which: str, actor: Actor) -> dict[str, Any]:
        """What became of a change, by its id or the caller's Idempotency-Key."""
        return await self._changes.state(self._space(ns), which, actor)

    async def cancel_change(self, ns: str, which: str, actor: Actor) -> dict[str, Any]:
        """Make sure that a change never takes effect, a draft by its author alone."""
        self.drafts.require_mine(ns, which, actor)
        return await self._changes.cancel(self._space(ns), which, actor)

    # -- reading ------------------------------------------------------------------------------

    def key_bytes(self, ns: str, key: str, reach: Reach = EVERYTHING) -> tuple[bytes, str]:
        """The rendered answer of ``GET key``, and its ETag."""
        return self._space(ns).key_bytes(key, reach)

    def resolve(
        self,
        ns: str,
        key: str,
        unit: str,
        attributes: dict[str, str],
        reach: Reach = EVERYTHING,
    ) -> dict[str, Any]:
        """What one unit gets of a key, and why."""
        space = self._space(ns)
        return reading.resolve(space.ledger.state, space.entry(key, reach), unit, attributes)

    def keys(
        self, ns: str, prefix: str, limit: int, after: str | None, reach: Reach = EVERYTHING
    ) -> dict[str, Any]:
        """Keys within the reach, with version, format, size and rollout."""
        space = self._space(ns)
        state, names = space.ledger.state, space.keys(reach)
        start = bisect_left(names, prefix)
        if after is not None:
            start = max(start, bisect_right(names, after))
        found = [name for name in names[start : start + limit + 1] if name.startswith(prefix)]
        items = [reading.row_words(state, state.entries[name]) for name in found[:limit]]
        return {"items": items, "next": found[limit - 1] if len(found) > limit else None}

    async def key_version(self, ns: str, key: str, version: int) -> dict[str, Any]:
        """One version of a key."""
        return await self._history(ns).version(key, version)

    async def versions(self, ns: str, key: str, limit: int, after: str | None) -> dict[str, Any]:
        """Every version of a key, the newest first."""
        return await self._history(ns).versions(key, limit, after)

    async def diff(
        self, ns: str, key: str, from_: int | None, to: int | None, form: str
    ) -> dict[str, Any]:
        """What differs between two versions; secrets are masked."""
        return await self._history(ns).diff(key, from_, to, form)

    async def set_schema(
        self,
        ns: str,
        key: str,
        body: dict[str, Any],
        actor: Actor,
        idempotency_key: str | None = None,
        comment: str = "",
        *,
        urgent: bool = False,
    ) -> Answer:
        """Bind a key to a kind or to a JSON Schema."""
        check_key(key)
        binding = compile_binding(body)
        space = self._space(ns)

        def plan(state: NamespaceState) -> Planned:
            return plan_binding(state, key, body, binding)

        asked = {"key": key, "schema": body}
        wish = Wish(actor, "schema", asked, comment, idempotency_key, urgent)
        done = await self._changes.submit(space, plan, wish)
        warnings = plan(space.ledger.state).result if done.replayed else done.result
        return Answer(binding_words(done, key, body, warnings), f'"{done.position}"')

    def get_schema(self, ns: str, key: str) -> dict[str, Any]:
        """What a key is bound to. Raises Problem 404 when to nothing."""
        check_key(key)
        binding = binding_of(self._space(ns).ledger.state, key)
        if binding is None:
            raise not_found(f"{key} is bound to no kind and no schema", key=key)
        return binding.to_json(key)

    def kinds(self) -> list[dict[str, Any]]:
        """Module kinds with their JSON Schema."""
        return kinds_json()

    def namespaces(self, actor: Actor) -> list[dict[str, Any]]:
        """The namespaces this actor can see."""
        ledgers = sorted(self.registry.ledgers.items())
        seen = [led for ns, led in ledgers if actor.sees(ns) and led.mode is not Mode.ENDED]
        return [namespace_json(ledger) for ledger in seen]

    def namespace(self, ns: str) -> dict[str, Any]:
        """Mode, position and size of one."""
        return namespace_json(self.registry.get(ns))

    async def create_namespace(self, ns: str, template: str | None, actor: Actor) -> dict[str, Any]:
        """Make a namespace. Raises Problem 409 when the name is, or ever was, in use."""
        check_name(ns)
        bindings = template_bindings(template)
        ledger = await self.registry.create(ns, actor.name, actor.request_id)
        space = await self._add(ledger)
        if bindings:
            await self._changes.submit(
                space,
                lambda state: Planned(
                    tuple(binding_op(state, key, bound) for key, bound in bindings.items())
                ),
                Wish(actor, "template", {"template": template}, f"template {template}"),
            )
        return namespace_json(ledger)

    async def delete_namespace(self, ns: str, actor: Actor) -> dict[str, Any]:
        """End a namespace; its name is never used again."""
        space = self._space(ns)
        ident = self._rng(16).hex()
        draft = Draft(
            ident,
            "end",
            actor.name,
            self.policies.end_plan(actor),
            request=actor.request_id,
            type="end",
        )
        await self.registry.end(ns, draft)
        space.close()
        self._spaces.pop(ns, None)
        return {"namespace": ns, "ended": True, "change": ident}

    # -- fleet --------------------------------------------------------------------------------

    async def report(self, ns: str, frame: bytes, actor: Actor) -> None:
        """Take a signed report of the actor's own instance. Raises Problem 400, 403."""
        self.reports.take(self._space(ns), frame, actor)

    def instances(self, ns: str, limit: int, after: str | None) -> dict[str, Any]:
        """Processes of instances, and which versions they applied or refused."""
        fleet = self.reports.fleet(self._space(ns))
        rows = [instance.to_json() for instance in fleet.instances()]
        return reading.page(rows, "instance", limit, after)

    def devices(self, ns: str, limit: int, after: str | None) -> dict[str, Any]:
        """Devices, and which versions they get."""
        fleet = self.reports.fleet(self._space(ns))
        rows = [{**row, "instance": instance.name} for _, instance, row in fleet.devices()]
        return reading.page(rows, "device", limit, after)

    async def _one(self, ns: str, operation: Operation, wish: Wish, supersede: bool) -> Answer:
        change = self._changes.change((operation,), None, wish.actor, supersede=supersede)
        header, warnings = await self._changes.commit(self._space(ns), change, wish)
        return key_answer(header, operation.key, warnings)

    async def _add(self, ledger: Ledger) -> Space:
        space = Space(ledger, self._limits, lambda: self.keks.keks, self._rng)
        await space.open()
        self._spaces[ledger.ns] = space
        return space

    def _history(self, ns: str) -> Histories:
        return Histories(self._space(ns))

    def _space(self, ns: str) -> Space:
        space = self._spaces.get(ns)
        if space is None or space.ledger.mode is Mode.ENDED:
            self.registry.get(ns)  # raises 404 with what to do
            raise not_found(f"the namespace {ns!r} is not open to clients")
        return space
