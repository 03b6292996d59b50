"""Policies on a real ledger: set, kept, judged in the writer."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import orjson
import pytest

from config_center.access import Actor
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.service import Service
from config_center.store.memory import MemoryStore
from tests.config_center.service_world import ALICE, service

NS = "default"
PAT = Actor("pat", "publisher", "p" * 16)
TEN = {"percent": 10, "unit": "device"}


async def put(center: Service, value: object, actor: Actor = PAT, **more: object) -> None:
    await center.put(NS, "prompt", Put(value=value, **more), actor)  # type: ignore[arg-type]


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(Problem) as refused:
        await call
    return refused.value.name


async def test_rules_are_signed_records_that_outlive_the_center_and_reach_others(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with service(tmp_path / "a", store) as center:
        done = await center.policies.set_rules(NS, {"two_person": True}, ALICE, "from now on")
        assert (done["two_person"], done["staged"], done["revision"]) == (True, False, 2)
        assert center.keys(NS, "", 10, None)["items"] == []

    async with service(tmp_path / "a", store) as center:
        assert await refusal(put(center, 1)) == "needs-approval"
    async with service(tmp_path / "b", store) as other:
        assert other.policies.show(NS)["two_person"] is True
        assert await refusal(put(other, 1)) == "needs-approval"


async def test_a_retry_under_the_same_key_changes_nothing_twice(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        first = await center.policies.set_rules(NS, {"staged": True}, ALICE, "", "k1")
        again = await center.policies.set_rules(NS, {"staged": True}, ALICE, "", "k1")
        other = center.policies.set_rules(NS, {"staged": False}, ALICE, "", "k1")

        assert first == again
        assert await refusal(other) == "id-reused"


async def test_what_was_published_before_a_freeze_is_answered_again_during_it(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as center:
        await put(center, 1, idempotency_key="k1")
        await center.policies.freeze(NS, "incident", ALICE)

        await put(center, 1, idempotency_key="k1")
        assert await refusal(put(center, 2)) == "frozen"


async def test_in_a_freeze_one_person_takes_back_and_nobody_gives_out(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "good")
        await put(center, "bad")
        await center.put(NS, "other", Put(value=1, rollout=TEN), PAT)
        frozen = await center.policies.freeze(NS, "incident 4711", ALICE)
        assert frozen["frozen"]["reason"] == "incident 4711"

        for verb, body in (("promote", {}), ("step", {"percent": 50}), ("resume", {})):
            move = center.rollouts.move(NS, "other", verb, body, PAT)
            assert await refusal(move) == "frozen", verb
        assert await refusal(center.delete(NS, "prompt", PAT)) == "frozen"
        assert await refusal(center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)) == "frozen"
        assert await refusal(center.delete_namespace(NS, ALICE)) == "frozen"
        await center.rollback(NS, "prompt", None, PAT)
        shrink = {"percent": 1, "force": True}
        await center.rollouts.move(NS, "other", "step", shrink, PAT)
        await center.rollouts.move(NS, "other", "pause", {}, PAT)
        await center.rollouts.move(NS, "other", "abort", {}, PAT)

        await center.policies.unfreeze(NS, "it is over", ALICE)
        await put(center, "better")


async def test_a_freeze_of_the_whole_center_holds_everywhere_and_after_a_restart(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        await center.policies.freeze_center("the network burns", ALICE)
        assert await refusal(put(center, 1)) == "frozen"
    async with service(tmp_path, store) as center:
        assert await refusal(put(center, 1)) == "frozen"
        assert center.policies.show(NS)["center"]["frozen"]["reason"] == "the network burns"
        assert await center.policies.unfreeze_center("", ALICE) == {"frozen": None}
        await put(center, 1)


async def test_an_emergency_is_an_admins_and_is_written_down(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await center.policies.set_rules(NS, {"two_person": True}, ALICE)
        urgent = {"urgent": True, "comment": "the model answers nonsense"}

        assert await refusal(put(center, 1, PAT, **urgent)) == "needs-approval"
        assert await refusal(put(center, 1, ALICE, urgent=True)) == "invalid"
        await put(center, 1, ALICE, idempotency_key="k1", **urgent)
        await put(center, 1, ALICE, idempotency_key="k1", **urgent)

        (version,) = (await center.versions(NS, "prompt", 10, None))["items"]
        assert (version["urgent"], version["comment"]) == (True, "the model answers nonsense")
        assert dict(center.policies.urgent) == {NS: 1}
        state = await center.change_state(NS, "k1", ALICE)
        assert (state["urgent"], state["author"]) == (True, "alice")


async def test_one_admin_cannot_switch_the_rule_off_alone_without_a_trace(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await center.policies.set_rules(NS, {"two_person": True}, ALICE)
        off = {"two_person": False}

        assert await refusal(center.policies.set_rules(NS, off, ALICE)) == "needs-approval"
        assert await refusal(center.delete_namespace(NS, ALICE)) == "needs-approval"
        await center.policies.set_rules(NS, {"staged": True}, ALICE)
        done = await center.policies.set_rules(NS, off, ALICE, "alone on call", urgent=True)
        assert (done["two_person"], done["staged"]) == (False, True)
        assert dict(center.policies.urgent) == {NS: 1}


async def test_a_namespace_may_want_every_publish_staged(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await center.policies.set_rules(NS, {"staged": True}, ALICE)

        assert await refusal(put(center, 1)) == "needs-rollout"
        everybody = {"percent": 100, "unit": "device"}
        assert await refusal(put(center, 1, rollout=everybody)) == "needs-rollout"
        await put(center, 1, rollout=TEN)
        await center.rollouts.move(NS, "prompt", "promote", {}, PAT)
        await put(center, 2, urgent=True, comment="it burns")


async def test_a_namespace_may_want_to_know_what_a_change_was_made_on(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await center.policies.set_rules(NS, {"precondition": True}, ALICE)
        one = {"op": "put", "key": "a", "value": 1, "if_version": 0}
        two = {"op": "put", "key": "b", "value": 1}

        assert await refusal(put(center, 1)) == "precondition-required"
        await put(center, 1, if_none_match=True)
        await put(center, 2, if_match='"1"')
        change = center.change(NS, [one, two], "", None, None, False, PAT)
        assert await refusal(change) == "precondition-required"
        await center.change(NS, [one, {**two, "if_version": 0}], "", None, None, False, PAT)


async def test_what_is_no_rule_is_refused(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        assert await refusal(center.policies.set_rules(NS, {}, ALICE)) == "invalid"
        assert await refusal(center.policies.freeze(NS, " ", ALICE)) == "invalid"
        assert await refusal(center.policies.freeze("nowhere", "why", ALICE)) == "not-found"


async def test_a5_a_lost_change_does_not_come_back_past_a_freeze_or_a_second_person(
    tmp_path: Path,
) -> None:
    """An orphan from before the rules is judged by those that hold now, and waits on."""
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        lost = {}
        for key in ("frozen", "guarded", "bound"):
            if key == "bound":
                await center.set_schema(NS, key, {"kind": "llm"}, PAT)
            else:
                await center.put(NS, key, Put(value="lost", comment="first"), PAT)
            head = center.ledger(NS).head
            assert head is not None
            lost[key] = head
        await center.put(NS, "guarded", Put(value="since then"), PAT)
        await center.ledger(NS).journal.mark([head.c for head in lost.values()], "orphan")
        store.spaces[NS].ids -= {head.header.id for head in lost.values()}

        async def replay(key: str, **more: Any) -> dict[str, Any]:
            ident = lost[key].header.id
            return await center.recovery.decide(NS, ident, "replay", ALICE, **more)

        await center.policies.freeze_center("incident 4711", ALICE)
        assert await refusal(replay("frozen")) == "frozen"
        await center.policies.unfreeze_center("", ALICE)
        await center.policies.freeze(NS, "incident 4712", ALICE)
        assert await refusal(replay("frozen")) == "frozen"
        await center.policies.unfreeze(NS, "", ALICE)
        await center.policies.set_rules(NS, {"staged": True}, ALICE)
        assert await refusal(replay("frozen")) == "needs-rollout"
        await center.policies.set_rules(NS, {"staged": False, "two_person": True}, ALICE)
        with pytest.raises(Problem, match=r"\?urgent=true with a comment"):
            await replay("guarded")
        assert [await refusal(replay(key)) for key in lost] == ["needs-approval"] * 3
        assert [await refusal(replay("guarded", urgent=True))] == ["invalid"]
        assert {row["id"] for row in await center.recovery.orphans(NS)} == {
            row.header.id for row in lost.values()
        }

        await replay("guarded", urgent=True, comment="it burns")

        shown = orjson.loads(center.key_bytes(NS, "guarded")[0])
        assert (shown["value"], shown["author"], shown["urgent"]) == ("lost", "pat", True)
        assert shown["comment"] == "it burns (lost before: first)"
        assert center.policies.urgent == {NS: 1}
        ident = lost["frozen"].header.id
        urgent = center.recovery.decide(NS, ident, "drop", ALICE, "why", urgent=True)
        assert await refusal(urgent) == "invalid"
        await center.recovery.decide(NS, ident, "drop", ALICE)


async def test_a_lost_change_needs_no_precondition_of_whoever_looked_and_decided(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        await put(center, "lost")
        ledger = center.ledger(NS)
        assert ledger.head is not None
        lost = ledger.head
        await put(center, "since then")
        await ledger.journal.mark([lost.c], "orphan")
        store.spaces[NS].ids -= {lost.header.id}
        await center.policies.set_rules(NS, {"precondition": True}, ALICE)
        assert await refusal(put(center, "mine")) == "precondition-required"

        await center.recovery.decide(NS, lost.header.id, "replay", ALICE)

        shown = orjson.loads(center.key_bytes(NS, "prompt")[0])
        assert (shown["value"], shown["version"], shown["author"]) == ("lost", 3, "pat")


async def test_old_rules_that_were_lost_do_not_come_back_by_one_person(tmp_path: Path) -> None:
    """An orphan of the policy, from before two persons were needed."""
    async with service(tmp_path) as center:
        await center.policies.set_rules(NS, {"staged": True}, ALICE)
        ledger = center.ledger(NS)
        assert ledger.head is not None
        orphan = ledger.head
        await center.policies.set_rules(NS, {"two_person": True}, ALICE)
        await ledger.journal.mark([orphan.c], "orphan")

        with pytest.raises(Problem, match="two-person rule") as refused:
            await center.recovery.decide(NS, orphan.header.id, "replay", ALICE)

        assert refused.value.name == "needs-approval"
        assert center.policies.show(NS)["two_person"]


async def test_rules_that_were_lost_come_back_without_the_freeze_of_their_hour(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        ledger, lost = center.ledger(NS), []

        async def orphaned() -> str:
            assert ledger.head is not None
            lost.append(ledger.head)
            await ledger.journal.mark([ledger.head.c], "orphan")
            return ledger.head.header.id

        await center.policies.set_rules(NS, {"staged": True}, ALICE)
        rules = await orphaned()
        await center.policies.freeze(NS, "an old incident", ALICE)
        freeze = await orphaned()
        await center.policies.set_rules(NS, {"staged": False}, ALICE)
        await center.policies.freeze(NS, "incident 42", ALICE)
        store.spaces[NS].ids -= {each.header.id for each in lost}

        await center.recovery.decide(NS, rules, "replay", ALICE)
        shown = center.policies.show(NS)
        assert (shown["staged"], shown["frozen"]["reason"]) == (True, "incident 42")

        await center.policies.unfreeze(NS, "over", ALICE)
        with pytest.raises(Problem, match="drop this") as refused:
            await center.recovery.decide(NS, freeze, "replay", ALICE)
        assert refused.value.name == "nothing-lost"
        assert center.policies.show(NS)["frozen"] is None
        await center.recovery.decide(NS, freeze, "drop", ALICE)
