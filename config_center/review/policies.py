"""The policy of a namespace and the freeze: read, and changed like any other change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from config_center.changes import Wish
from config_center.ledger.words import Mode, Planned
from config_center.review.policy import (
    END,
    FREEZE,
    GOVERN,
    POLICY,
    Freeze,
    Intent,
    center_freeze,
    changed,
    check_reason,
    may_publish,
    policy_of,
    record_op,
)

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.changes import Changes
    from config_center.ledger.registry import Registry
    from config_center.ledger.words import Committed
    from config_center.space import Space


class Policies:
    """The part of the service that is about who may publish when."""

    def __init__(
        self,
        registry: Registry,
        changes: Changes,
        space_of: Callable[[str], Space],
        clock_ms: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._changes = changes
        self._space_of = space_of
        self._clock_ms = clock_ms

    @property
    def urgent(self) -> Counter[str]:
        """What this process published in an emergency, by namespace."""
        return self._changes.urgent

    def show(self, ns: str) -> dict[str, Any]:
        """The policy of a namespace, and the freeze of the whole center. Raises Problem 404."""
        policy = policy_of(self._space_of(ns).ledger.state)
        return {"namespace": ns, **policy.words(), "center": self.center()}

    def center(self) -> dict[str, Any]:
        """The freeze of the whole center."""
        freeze = center_freeze(self._registry.system.state)
        return {"frozen": None if freeze is None else freeze.words()}

    def freezes(self) -> dict[str, Freeze]:
        """What is frozen now, by namespace; the whole center under the name of its own."""
        found = {}
        for ns, ledger in self._registry.ledgers.items():
            own = ledger is self._registry.system
            freeze = center_freeze(ledger.state) if own else policy_of(ledger.state).frozen
            if freeze is not None and ledger.mode is not Mode.ENDED:
                found[ns] = freeze
        return found

    async def set_rules(
        self,
        ns: str,
        rules: dict[str, bool],
        actor: Actor,
        comment: str = "",
        idempotency_key: str | None = None,
        urgent: bool = False,
    ) -> dict[str, Any]:
        """
        Set the rules that are named. Raises Problem 409 ``needs-approval`` for taking one away
        where two persons are needed.
        """
        plan = plan_rules(rules, actor, urgent=urgent)
        plan(self._space_of(ns).ledger.state)  # what is wrong with it is said without a round
        wish = Wish(actor, "policy", {"rules": rules}, comment, idempotency_key, urgent)
        return self._words(ns, await self._changes.submit(self._space_of(ns), plan, wish))

    async def freeze(
        self, ns: str, reason: str, actor: Actor, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Stop publishing in a namespace."""
        freeze = Freeze(actor.name, check_reason(reason), self._clock_ms())
        wish = Wish(actor, "policy", {"freeze": freeze.reason}, freeze.reason, idempotency_key)
        return await self._set_frozen(ns, freeze, wish)

    async def unfreeze(
        self, ns: str, comment: str, actor: Actor, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Let it go on."""
        wish = Wish(actor, "policy", {"unfreeze": comment}, comment, idempotency_key)
        return await self._set_frozen(ns, None, wish)

    async def freeze_center(self, reason: str, actor: Actor) -> dict[str, Any]:
        """Stop publishing in every namespace; other centers hear of it within a beat."""
        freeze = Freeze(actor.name, check_reason(reason), self._clock_ms())
        return await self._write_center(freeze, freeze.reason, actor)

    async def unfreeze_center(self, comment: str, actor: Actor) -> dict[str, Any]:
        """Let it go on; namespaces that were frozen by themselves stay so."""
        return await self._write_center(None, comment, actor)

    def end_plan(self, actor: Actor) -> Callable[[NamespaceState], Planned]:
        """The plan of a namespace's last record, which two persons may have to want."""

        def plan(state: NamespaceState) -> Planned:
            freeze = center_freeze(self._registry.system.state)
            may_publish(policy_of(state), freeze, actor, Intent(END))
            return Planned(())

        return plan

    async def _set_frozen(self, ns: str, freeze: Freeze | None, wish: Wish) -> dict[str, Any]:
        def plan(state: NamespaceState) -> Planned:
            new = replace(policy_of(state), frozen=freeze)
            return Planned((record_op(state, POLICY, new.to_json()),))

        return self._words(ns, await self._changes.submit(self._space_of(ns), plan, wish))

    async def _write_center(
        self, freeze: Freeze | None, comment: str, actor: Actor
    ) -> dict[str, Any]:
        plain = {"frozen": None if freeze is None else freeze.to_json()}

        def plan(state: NamespaceState) -> Planned:
            return Planned((record_op(state, FREEZE, plain),))

        wish = Wish(actor, "policy", {"center": plain}, comment)
        await self._changes.write(self._registry.system, plan, wish)
        return self.center()

    def _words(self, ns: str, done: Committed) -> dict[str, Any]:
        """The policy as it is now; where from, of the change that was asked for."""
        header = done.header
        where = {"change": header.id, "epoch": header.e, "revision": header.v}
        return {**self.show(ns), **where}


def plan_rules(
    rules: Mapping[str, Any], actor: Actor, *, urgent: bool = False, approved: bool = False
) -> Callable[[NamespaceState], Planned]:
    """The plan that sets rules; whether one is taken away is seen on the state it is made on."""

    def plan(state: NamespaceState) -> Planned:
        before = policy_of(state)
        after = changed(before, rules)
        weakens = after.is_weaker_than(before)
        intent = Intent(GOVERN, urgent=urgent, approved=approved, weakens=weakens)
        may_publish(before, None, actor, intent)
        return Planned((record_op(state, POLICY, after.to_json()),))

    return plan
