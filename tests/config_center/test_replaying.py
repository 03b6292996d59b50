"""What comes back of what a store lost, and what does not any more."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from config_center.access import Actor
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.service import Service
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.test_recovery import fail_over, saved
from tests.config_center.service_world import ALICE, service

NS = "default"
LLM = {"type": "openai", "base_url": "https://a.example/v1", "api_key": "sk-1", "model": "m"}
CAROL = Actor("carol", "publisher", "c" * 16)
DAVE = Actor("dave", "publisher", "d" * 16)

Step = Callable[[Service], Awaitable[object]]


@contextlib.asynccontextmanager
async def lost(home: Path, begin: Step, change: Step, since: Step) -> AsyncIterator[Service]:
    """
    Center A after it began, changed something that the store lost, and B did what it did since.
    """
    store = MemoryStore()
    async with service(home / "a", store) as a:
        await begin(a)
        before = saved(store)
        await change(a)
    fail_over(store, before)
    async with service(home / "b", store) as b:
        await since(b)
    async with service(home / "a", store) as a:
        yield a


async def replay(center: Service, ns: str = NS) -> str:
    """All that waits there; what refused the last of it."""
    refused = ""
    for orphan in await center.recovery.orphans(ns):
        try:
            await center.recovery.decide(ns, orphan["id"], "replay", ALICE)
        except Problem as problem:
            refused = f"{problem.status} {problem.name}"
    return refused


def put(value: object, key: str = "k", **more: Any) -> Step:
    return lambda center: center.put(NS, key, Put(value=value, **more), ALICE)


def shown(center: Service, key: str = "k") -> Any:
    return orjson.loads(center.key_bytes(NS, key)[0])


async def test_a_value_that_was_lost_fits_the_schema_of_now_or_stays_away(tmp_path: Path) -> None:
    async def bind(center: Service) -> None:
        await center.put(NS, "k", Put(value=2), ALICE)
        await center.set_schema(NS, "k", {"json_schema": {"type": "integer"}}, ALICE)

    async with lost(tmp_path, put(1), put("text"), bind) as center:
        assert await replay(center) == "422 schema"
        assert shown(center)["value"] == 2
        assert len(await center.recovery.orphans(NS)) == 1


async def test_a_value_whose_secret_was_destroyed_since_does_not_come_back(tmp_path: Path) -> None:
    async def begin(center: Service) -> None:
        await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        await put(LLM, "llm")(center)

    async def destroy(center: Service) -> None:
        await put({**LLM, "api_key": "sk-2"}, "llm")(center)
        await center.secrets.shred(NS, "llm", 1, ALICE)

    async with lost(tmp_path, begin, put({**LLM, "model": "m2"}, "llm"), destroy) as center:
        assert await replay(center) == "409 shredded"
        assert "shredded" not in str(shown(center, "llm")["value"])


async def test_a_canary_and_a_removal_that_were_lost_come_back_as_they_were(tmp_path: Path) -> None:
    async def begin(center: Service) -> None:
        for key in ("a", "b", "c"):
            await put("old", key)(center)

    async def change(center: Service) -> None:
        operations = [{"op": "put", "key": "a", "value": "new"}, {"op": "delete", "key": "b"}]
        rollout = {"percent": 10}
        await center.change(
            NS,
            operations,
            comment="",
            rollout=rollout,
            idempotency_key=None,
            supersede=False,
            actor=ALICE,
        )
        await center.delete(NS, "c", ALICE)

    async with lost(tmp_path, begin, change, put(1, "other")) as center:
        assert await replay(center) == ""
        state = center.ledger(NS).state
        canaries = {key: state.entries[key].rollout for key in "ab"}
        assert {key: (r.percent, r.content is None) for key, r in canaries.items() if r} == {
            "a": (10, False),
            "b": (10, True),
        }
        assert not state.entries["c"].exists
        assert shown(center, "a")["value"] == "old"


async def test_a_draft_that_was_lost_does_not_take_the_place_of_one_that_waits(
    tmp_path: Path,
) -> None:
    def drafted(by: Actor) -> Step:
        asked = {"operations": [{"op": "put", "key": "k", "value": by.name}]}
        return lambda center: center.drafts.create(NS, asked, by)

    async with lost(tmp_path, put(1), drafted(CAROL), drafted(DAVE)) as center:
        assert await replay(center, "_system") == "409 in-use"
        listed = await center.drafts.listed(NS, ALICE)
        assert [(each["author"]) for each in listed] == ["dave"]
    async with lost(tmp_path / "free", put(1), drafted(CAROL), put(2)) as center:
        assert await replay(center, "_system") == ""
        assert [each["author"] for each in await center.drafts.listed(NS, ALICE)] == ["carol"]


async def test_a_token_that_was_revoked_is_revoked_again_also_in_a_freeze(tmp_path: Path) -> None:
    made: dict[str, Any] = {}

    async def begin(center: Service) -> None:
        made.update(await center.tokens.create({"name": "thief", "role": "admin"}, ALICE))

    async def revoke(center: Service) -> None:
        await center.tokens.revoke(made["id"], ALICE)

    async def freeze(center: Service) -> None:
        await center.policies.freeze_center("incident", ALICE)

    async with lost(tmp_path, begin, revoke, freeze) as center:
        assert await replay(center, "_system") == ""
        assert made["id"] not in {each["id"] for each in center.tokens.listed(ALICE)}


async def test_a_freeze_of_the_center_is_a_matter_of_now(tmp_path: Path) -> None:
    async def freeze(center: Service) -> None:
        await center.policies.freeze_center("an old incident", ALICE)

    async def since(center: Service) -> None:
        await center.tokens.create({"name": "t", "role": "reader"}, ALICE)

    async with lost(tmp_path, put(1), freeze, since) as center:
        assert await replay(center, "_system") == "409 nothing-lost"
        assert center.policies.center()["frozen"] is None


@pytest.mark.parametrize("rules", [{"two_person": True}, {}])
async def test_the_end_of_a_namespace_is_judged_when_it_comes_back(
    tmp_path: Path, rules: dict[str, bool]
) -> None:
    async def end(center: Service) -> None:
        await center.delete_namespace(NS, ALICE)

    async def since(center: Service) -> None:
        await put(2)(center)
        if rules:
            await center.policies.set_rules(NS, rules, ALICE)
        else:
            await center.policies.freeze_center("not now", ALICE)

    async with lost(tmp_path, put(1), end, since) as center:
        assert await replay(center) == ("409 needs-approval" if rules else "503 frozen")
        assert shown(center)["value"] == 2

        (orphan,) = await center.recovery.orphans(NS)
        await center.recovery.decide(NS, orphan["id"], "replay", ALICE, "it has to", urgent=True)
        assert NS not in center.modes()
