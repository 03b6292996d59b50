"""What people decide after history was lost, over the API and a real store."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from client_sdk import Client
from config_center.ledger.keeper import Rhythm
from config_center.ledger.pruning import Pruner
from config_center.ledger.words import Mode
from config_center.retention import Keep
from tests.config_center.api.world import NS, QUICK, Http, http
from tests.redis_server import running
from tests.until import until

# For a store that is replaced key by key: the guard would see it half done.
UNGUARDED = replace(QUICK, guard_every=3600)
SECRET = {"json_schema": {"type": "string", "writeOnly": True}}


@contextlib.asynccontextmanager
async def world(home: Path, rhythm: Rhythm = QUICK) -> AsyncIterator[tuple[Http, redis.Redis, str]]:
    with running() as server:
        async with (
            redis.Redis.from_url(server.url) as raw,
            http(home, redis=server.url, rhythm=rhythm) as call,
        ):
            yield call, raw, server.url


async def lost(call: Http, raw: redis.Redis) -> dict[str, bytes]:
    """The whole store, as a replica would have it that falls behind now."""
    return {name: await raw.dump(name) async for name in raw.scan_iter("cc:{default}:*")}


async def fail_over(raw: redis.Redis, replica: dict[bytes, bytes]) -> None:
    """The replica is promoted, with another history behind it."""
    async with raw.pipeline(transaction=True) as at_once:
        for name, dump in replica.items():
            at_once.restore(name, 0, dump, replace=True)
        at_once.hset("cc:{default}:head", "rid", "0" * 40)
        await at_once.execute()


async def an_orphan(call: Http, raw: redis.Redis, *, meanwhile: str = "theirs") -> dict[str, Any]:
    """A change that was acknowledged, and over which somebody else published elsewhere."""
    await call("PUT", f"{NS}/keys/k", {"value": "first"})
    replica = await lost(call, raw)
    ledger = call.center.registry.get("default")
    async with ledger.lock:  # as if this center were away
        position, head, state = ledger.state.position, ledger.head, ledger.state
    urgent = f"{NS}/keys/k?urgent=true"
    _, done, _ = await call("PUT", urgent, {"value": "ours", "comment": "why"})
    ours = (await ledger.journal.above("default", position))[-1]
    await ledger.journal.mark([ours.c], "orphan")
    async with ledger.lock:
        await fail_over(raw, replica)
        ledger.believe(state, head, ())
    await call("PUT", f"{NS}/keys/k", {"value": meanwhile})
    return dict(done)


async def test_an_orphan_is_shown_with_what_stands_there_now_and_comes_back_under_its_id(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (call, raw, _):
        done = await an_orphan(call, raw)
        status, listed, _ = await call("GET", f"{NS}/orphans")
        (orphan,) = listed["items"]
        _, before, _ = await call("GET", f"{NS}/changes/{orphan['id']}")
        told, back, _ = await call("POST", f"{NS}/orphans/{orphan['id']}", {"decision": "replay"})
        _, now, _ = await call("GET", f"{NS}/keys/k")
        _, after, _ = await call("GET", f"{NS}/changes/{orphan['id']}")
        _, empty, _ = await call("GET", f"{NS}/orphans")
        again, _, _ = await call("POST", f"{NS}/orphans/{orphan['id']}", {"decision": "drop"})

    assert (status, orphan["id"], orphan["comment"]) == (200, done["change"], "why")
    assert orphan["keys"][0]["key"] == "k"
    assert orphan["keys"][0]["now"]["latest"] >= 2
    assert before["state"] == "absent"
    assert (told, back["decision"], now["value"], now["author"]) == (200, "replay", "ours", "admin")
    assert now["version"] == orphan["keys"][0]["now"]["latest"] + 1
    assert (after["state"], after["urgent"]) == ("acknowledged", True)
    assert (empty["items"], again) == ([], 404)


async def test_a_dropped_orphan_can_never_come_back(tmp_path: Path) -> None:
    async with world(tmp_path) as (call, raw, _):
        done = await an_orphan(call, raw)
        path = f"{NS}/orphans/{done['change']}"
        wrong, _, _ = await call("POST", path, {"decision": "maybe"})
        status, _, _ = await call("POST", path, {"decision": "drop"})
        _, state, _ = await call("GET", f"{NS}/changes/{done['change']}")
        _, now, _ = await call("GET", f"{NS}/keys/k")
        _, listed, _ = await call("GET", f"{NS}/orphans")

    assert (wrong, status, state["state"], now["value"]) == (400, 200, "cancelled", "theirs")
    assert listed["items"] == []


async def asked_by_the_newest(call: Http) -> list[tuple[str, str]]:
    """Route and actor of the audit's entries of the request that the newest record names."""
    head = call.center.registry.get("default").head
    assert head is not None
    assert head.header.request
    _, listed, _ = await call("GET", "/v1/audit")
    items = [each for each in listed["items"] if each.get("request") == head.header.request]
    assert [each["actor"] for each in items] == [head.header.author]
    return [(each["route"], each["actor"]) for each in items]


async def test_a_store_that_lost_everything_is_put_back_from_the_journal(tmp_path: Path) -> None:
    """FLUSHALL: nothing is published, clients serve on, and a person puts it back."""
    async with world(tmp_path / "data") as (call, raw, url):
        await call("PUT", f"{NS}/keys/secret/schema", SECRET)
        await call("PUT", f"{NS}/keys/secret", {"value": "sesame"})
        await call("PUT", f"{NS}/keys/big", {"value": "x" * 20_000})
        trust = str(tmp_path / "data" / "trust.json")
        async with Client.connect(
            url, instance="gw", state=tmp_path / "gw", trust=trust, timeout=10.0,
            secret_key=str(tmp_path / "data" / "secrets.key"),
        ) as client:  # fmt: skip
            before = client.status().position
            refused = (await call("POST", f"{NS}/restore", {"from": "journal"}))[1]
            await raw.flushall()
            ledger = call.center.registry.get("default")
            await until(lambda: ledger.mode is Mode.EMPTY)
            status, problem, _ = await call("PUT", f"{NS}/keys/k", {"value": 1})
            assert status == 503
            assert "$sealed" in client.get("secret")

            restored, about, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
            asked = await asked_by_the_newest(call)
            retry, _, _ = await call("PUT", f"{NS}/keys/k", {"value": 1})
            await until(lambda: client.get("k", None) == 1)
            after = client.status().position
            async with Client.connect(
                url, instance="new", state=tmp_path / "new", trust=trust, timeout=10.0,
                secret_key=str(tmp_path / "data" / "secrets.key"),
            ) as newcomer:  # fmt: skip
                await until(lambda: newcomer.get("k", None) == 1)
                found = (newcomer.get("secret"), len(newcomer.get("big")))
                sealed = client.get("secret")
            keys = await raw.hkeys("cc:{default}:ring")

    assert refused["type"].endswith("not-empty")
    assert problem["type"].endswith("store-empty")
    assert (restored, about["keys"], about["orphans"], retry) == (200, 2, [], 200)
    assert asked == [("restore_namespace", "admin")]
    assert after > before
    assert found == (sealed, 20_000)
    assert sealed["$sealed"]["dek"].encode() in keys


async def test_a_center_that_starts_on_an_empty_store_still_knows_its_tokens_and_restores(
    tmp_path: Path,
) -> None:
    with running() as server:
        async with redis.Redis.from_url(server.url) as raw:
            async with http(tmp_path, redis=server.url) as call:
                await call("PUT", f"{NS}/keys/k", {"value": "kept"})
            await raw.flushall()
            async with http(tmp_path, redis=server.url) as call:
                _, read, _ = await call("GET", f"{NS}/keys/k")
                ready, _, _ = await call("GET", "/readyz")
                status, _, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
                put, _, _ = await call("PUT", f"{NS}/keys/k", {"value": "on"})

    assert (read["value"], ready, status, put) == ("kept", 503, 200, 200)


async def test_an_export_is_put_back_by_another_center_and_a_damaged_one_is_not(
    tmp_path: Path,
) -> None:
    """The journal is gone as well: what somebody exported, or a client holds, is what there is."""
    async with world(tmp_path / "data") as (call, raw, _):
        await call("PUT", f"{NS}/keys/k", {"value": "exported"})
        _, export, _ = await call("GET", f"{NS}/snapshot")
        await call("PUT", f"{NS}/keys/k", {"value": "later"})
        ledger = call.center.registry.get("default")
        await raw.flushall()
        await until(lambda: ledger.mode is Mode.EMPTY)
        kind = {"Content-Type": "application/octet-stream"}
        damaged = bytes(export).replace(b"exported", b"evil!!!!")
        bad, problem, _ = await call("POST", f"{NS}/restore", raw=damaged, **kind)
        status, about, _ = await call("POST", f"{NS}/restore?comment=drill", raw=export, **kind)
        _, now, _ = await call("GET", f"{NS}/keys/k")

    assert (bad, problem["type"].rpartition(":")[2]) == (400, "invalid")
    assert (status, about["replicated"], now["value"]) == (200, True, "exported")
    assert [each["keys"][0]["key"] for each in about["orphans"]] == ["k"]


async def test_what_is_asked_wrong_is_said(tmp_path: Path) -> None:
    async with world(tmp_path) as (call, _, _):
        asked = [
            (await call("POST", f"{NS}/restore", body))[0]
            for body in ({}, {"from": "tape"}, {"from": "journal", "accept_loss": True})
        ]
        kind = {"Content-Type": "application/octet-stream"}
        long = f"{NS}/restore?comment={'c' * 1001}"
        _, too_long, _ = await call("POST", long, raw=b"an export", **kind)
        _, twice, _ = await call("POST", f"{NS}/restore?comment=why", {"from": "journal"})
        nothing, problem, _ = await call("POST", f"{NS}/restore", {"accept_loss": True})
        none, _, _ = await call("POST", f"{NS}/orphans/none", {"decision": "drop"})

    assert asked == [400, 400, 400]
    assert too_long["detail"] == "a comment has at most 1,000 characters"
    assert twice["detail"] == "beside JSON, comment is the body's field comment"
    assert (nothing, problem["type"].rpartition(":")[2], none) == (409, "nothing-lost", 404)


async def prune(call: Http, rows: int = 3) -> None:
    """As if all that is there were years old."""
    registry = call.center.registry
    keep = Keep(rows=rows, versions=2)
    pruner = Pruner(registry.journal, registry.verifier, keep, lambda: 10**13)
    for ledger in (registry.system, registry.get("default")):
        await pruner.prune(ledger)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_pruned_journal_restores_values_secrets_and_large_bodies(
    tmp_path: Path, restarted: bool
) -> None:
    with running() as server:
        async with redis.Redis.from_url(server.url) as raw:
            async with http(tmp_path / "data", redis=server.url) as call:
                await call("PUT", f"{NS}/keys/secret/schema", SECRET)
                await call("PUT", f"{NS}/keys/secret", {"value": "sesame"})
                await call("PUT", f"{NS}/keys/big", {"value": "x" * 20_000})
                for number in range(20):
                    await call("PUT", f"{NS}/keys/k", {"value": number})
                await prune(call)
                _, export, _ = await call("GET", f"{NS}/snapshot")
                ring = await raw.hgetall("cc:{default}:ring")
                await raw.flushall()
                ledger = call.center.registry.get("default")
                await until(lambda: ledger.mode is Mode.EMPTY)
                if not restarted:
                    status, about, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
            if restarted:
                async with http(tmp_path / "data", redis=server.url) as call:
                    status, about, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
            async with http(tmp_path / "data", redis=server.url) as call:
                again = await raw.hgetall("cc:{default}:ring")
                trust = str(tmp_path / "data" / "trust.json")
                async with Client.connect(
                    server.url, instance="new", state=tmp_path / "new", trust=trust, timeout=10.0,
                    secret_key=str(tmp_path / "data" / "secrets.key"),
                ) as client:  # fmt: skip
                    found = (
                        client.get("k"),
                        len(client.get("big")),
                        "$sealed" in client.get("secret"),
                    )
                await prune(call)
                await raw.flushall()
                ledger = call.center.registry.get("default")
                await until(lambda: ledger.mode is Mode.EMPTY)
                kind = {"Content-Type": "application/octet-stream"}
                exported, _, _ = await call("POST", f"{NS}/restore", raw=export, **kind)
                _, now, _ = await call("GET", f"{NS}/keys/k")

    assert (status, about["keys"], about["orphans"]) == (200, 3, [])
    assert (found, again) == ((19, 20_000, True), ring)
    assert ring
    assert (exported, now["value"]) == (200, 19)


async def test_an_old_copy_of_the_store_is_refused_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with world(tmp_path, UNGUARDED) as (call, raw, _):
        await call("PUT", f"{NS}/keys/k", {"value": "ancient"})
        replica = await lost(call, raw)
        for number in range(20):
            await call("PUT", f"{NS}/keys/k", {"value": number})
        await prune(call)
        await fail_over(raw, replica)
        ledger = call.center.registry.get("default")
        await until(lambda: ledger.mode is Mode.INCOMPLETE)
        status, problem, _ = await call("PUT", f"{NS}/keys/k", {"value": 1})
        accepted, told, _ = await call("POST", f"{NS}/restore", {"accept_loss": True})
        _, served, _ = await call("GET", f"{NS}/keys/k")
        tried = await ledger.journal.transact(
            lambda db: db.execute("SELECT count(*) FROM rows WHERE st = 'refused'").fetchone()
        )
        await raw.delete("cc:{default}:head")  # as the sentence says
        await until(lambda: ledger.mode is Mode.EMPTY)
        restored, about, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
        put, done, _ = await call("PUT", f"{NS}/keys/k", {"value": "on"})

    assert (status, accepted, tried) == (503, 503, (0,))  # and nothing was signed
    assert problem["type"].endswith("history-incomplete")
    assert "remove the key cc:{default}:head" in problem["detail"]
    assert told["detail"] in problem["detail"]
    assert served["value"] == 19
    assert (restored, about["orphans"], put, done["version"]) == (200, [], 200, 22)
