from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from client_sdk.reports import Report, report_key
from config_center.access import Actor, authenticate
from config_center.bounds import Limits
from config_center.ledger.pruning import Pruner
from config_center.problems import Problem
from config_center.publishing import Put
from config_center.retention import Keep
from config_center.service import Service
from config_center.store.memory import MemoryStore
from tests.config_center.service_world import ALICE, NOW, service

NS = "default"
TEN = {"percent": 10, "unit": "device"}
LLM = {"type": "openai", "base_url": "http://x", "api_key": "sk-secret", "model": "m"}


async def put(center: Service, key: str, value: object, **more: Any) -> dict[str, Any]:
    return (await center.put(NS, key, Put(value=value, **more), ALICE)).body


def get(center: Service, key: str) -> dict[str, Any]:
    return orjson.loads(center.key_bytes(NS, key)[0])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what is awaited has no event)
            await asyncio.sleep(0.01)


async def refusal(call: Awaitable[object]) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Problem) as refused:
        await call
    return refused.value.name, refused.value.members


async def test_a_published_value_is_read_with_its_numbers_and_author(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        done = await center.put(NS, "prompt", Put(value="hi", comment="first"), ALICE)
        shown = get(center, "prompt")

        assert done.etag == '"1-2"' == center.key_bytes(NS, "prompt")[1]
        assert (done.body["version"], done.body["latest"], done.body["rollout"]) == (1, 1, None)
        assert shown.pop("published_at").endswith("Z")
        assert shown == {
            "key": "prompt",
            "version": 1,
            "latest": 1,
            "kind": None,
            "value": "hi",
            "format": "json",
            "sha256": done.body["sha256"],
            "epoch": 1,
            "revision": 2,
            "comment": "first",
            "author": "alice",
            "rollout": None,
        }


async def test_a_canary_is_stepped_and_promoted(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", "old")
        done = await put(center, "prompt", "new", rollout={**TEN, "steps": [25, 50]})
        assert (done["version"], done["latest"]) == (1, 2)

        assert (await center.rollouts.move(NS, "prompt", "step", {}, ALICE)).body["percent"] == 25
        shrink = center.rollouts.move(NS, "prompt", "step", {"percent": 5}, ALICE)
        assert await refusal(shrink) == ("would-shrink", {"percent": 25.0})
        forced = {"percent": 5, "force": True}
        assert (await center.rollouts.move(NS, "prompt", "step", forced, ALICE)).body[
            "percent"
        ] == 5
        await center.rollouts.move(NS, "prompt", "pause", {}, ALICE)
        grow = center.rollouts.move(NS, "prompt", "step", {"percent": 60}, ALICE)
        assert (await refusal(grow))[0] == "rollout-paused"
        await center.rollouts.move(NS, "prompt", "resume", {}, ALICE)
        ended = (await center.rollouts.move(NS, done["rollout"]["id"], "promote", {}, ALICE)).body

        assert (ended["state"], ended["keys"]) == (
            "promoted",
            [{"key": "prompt", "from": 1, "to": 2}],
        )
        told = [decision["what"] for decision in ended["decisions"]]
        assert told == ["start", "step", "step", "pause", "resume", "promote"]
        assert (get(center, "prompt")["version"], get(center, "prompt")["value"]) == (2, "new")
        again = center.rollouts.move(NS, "prompt", "abort", {}, ALICE)
        assert (await refusal(again))[0] == "rollout-ended"


async def test_an_aborted_number_is_never_given_out_again(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        first = await put(center, "prompt", "canary", rollout=TEN)
        assert (first["version"], first["latest"]) == (None, 1)
        await center.rollouts.move(NS, "prompt", "abort", {}, ALICE)
        with pytest.raises(Problem):
            center.key_bytes(NS, "prompt")

        assert (await put(center, "prompt", "next"))["version"] == 2


async def test_while_a_rollout_runs_its_keys_are_left_alone_or_it_is_superseded_whole(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as center:
        await put(center, "a", 1)
        await put(center, "b", 1)
        operations = [{"op": "put", "key": "a", "value": 2}, {"op": "put", "key": "b", "value": 2}]
        done = await center.change(NS, operations, "", TEN, None, False, ALICE)
        ident = done.body["rollout"]["id"]

        for call in (
            center.put(NS, "a", Put(value=3), ALICE),
            center.delete(NS, "a", ALICE),
            center.rollback(NS, "a", 1, ALICE),
        ):
            name, members = await refusal(call)
            assert (name, members["rollout"]) == ("rollout-running", ident)
        await put(center, "a", 3, supersede=True)

        assert center.rollouts.one(NS, ident)["state"] == "aborted"
        assert (get(center, "a")["version"], get(center, "b")["version"]) == (3, 1)
        assert get(center, "b")["rollout"] is None
        assert get(center, "a")["revision"] == get(center, "b")["revision"]


async def test_a_rollback_is_a_new_version_with_the_old_content(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", "one")
        await put(center, "prompt", "two")
        done = await center.rollback(NS, "prompt", None, ALICE)
        versions = await center.versions(NS, "prompt", 10, None)

        assert (done.body["version"], get(center, "prompt")["value"]) == (3, "one")
        assert [(v["version"], v.get("rollback_of")) for v in versions["items"]] == [
            (3, 1),
            (2, None),
            (1, None),
        ]
        missing = center.rollback(NS, "prompt", 9, ALICE)
        assert (await refusal(missing))[0] == "not-found"


async def test_a_removed_key_comes_back_by_rollback(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", "one")
        await center.delete(NS, "prompt", ALICE)
        assert center.keys(NS, "", 10, None)["items"] == []

        await center.rollback(NS, "prompt", None, ALICE)

        assert (get(center, "prompt")["version"], get(center, "prompt")["value"]) == (2, "one")


async def test_a_canary_can_remove_a_key(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", "one")
        terms = {**TEN, "percent": 100}
        operations = [{"op": "delete", "key": "prompt"}]
        await center.change(NS, operations, "", terms, None, False, ALICE)
        got = center.resolve(NS, "prompt", "AA:BB", {})
        assert (got["arm"], got["version"], got["value"]) == ("canary", None, None)

        ended = await center.rollouts.move(NS, "prompt", "promote", {}, ALICE)

        assert ended.body["state"] == "promoted"
        assert center.keys(NS, "", 10, None)["items"] == []


async def test_preconditions_are_judged_on_the_present(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", 1, if_none_match=True)
        await put(center, "prompt", 2, if_match='"1"')
        await put(center, "prompt", 3, if_match='"1-3"')

        for more in ({"if_match": '"1"'}, {"if_match": '"1-3"'}, {"if_none_match": True}):
            name, members = await refusal(put(center, "prompt", 4, **more))
            assert (name, members["latest"], members["position"]) == ("version-moved", 3, "1-4")
        assert (await refusal(put(center, "prompt", 4, if_match="3")))[0] == "invalid"
        assert (await refusal(put(center, "other", 4, if_match='"3"')))[0] == "version-moved"


async def test_a_retry_answers_the_same_body_even_after_a_restart(tmp_path: Path) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as center:
        await put(center, "prompt", "x")
        first = await put(center, "prompt", "x", idempotency_key="k", rollout=TEN)
        assert first["warnings"] == ["prompt: the same value as version 1"]
        assert await put(center, "prompt", "x", idempotency_key="k", rollout=TEN) == first
    async with service(tmp_path, store) as center:
        assert await put(center, "prompt", "x", idempotency_key="k", rollout=TEN) == first
        other = put(center, "prompt", "y", idempotency_key="k", rollout=TEN)
        assert (await refusal(other))[0] == "id-reused"
        assert center.rollouts.one(NS, "prompt")["id"] == first["rollout"]["id"]
        assert get(center, "prompt")["author"] == "alice"
        assert (await center.change_state(NS, "k", ALICE))["change"] == first["change"]
        assert (await center.change_state(NS, first["change"], ALICE))["state"] == "acknowledged"
        taken = center.cancel_change(NS, "k", ALICE)
        assert (await refusal(taken))[0] == "already-committed"


async def test_a_cancelled_change_never_takes_effect(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        assert (await center.change_state(NS, "k", ALICE))["state"] == "absent"
        assert (await center.cancel_change(NS, "k", ALICE))["state"] == "cancelled"
        assert (await center.change_state(NS, "k", ALICE))["state"] == "cancelled"
        late = put(center, "prompt", 1, idempotency_key="k")
        assert (await refusal(late))[0] == "cancelled"


async def test_a_secret_is_sealed_at_the_door_and_kept_when_unchanged(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        bound = await center.set_schema(NS, "llm", {"kind": "llm"}, ALICE)
        assert bound.body["kind"] == "llm"
        await put(center, "llm", LLM)
        before = center.ledger(NS).state.entries["llm"].content
        shown = get(center, "llm")
        await put(center, "llm", {**shown["value"], "model": "n"})
        after = center.ledger(NS).state.entries["llm"].content

        assert set(shown["value"]["api_key"]["$sealed"]) == {"fp"}
        assert b"sk-secret" not in before.body + after.body
        assert orjson.loads(before.body)["api_key"] == orjson.loads(after.body)["api_key"]
        diff = await center.diff(NS, "llm", None, None, "structural")
        assert diff["changes"] == [{"op": "replace", "path": "/model", "old": "m", "new": "n"}]
        foreign = put(center, "llm", {**LLM, "api_key": {"$sealed": {"fp": "other"}}})
        assert (await refusal(foreign))[0] == "invalid"
        text = orjson.dumps(LLM).decode()
        done = await put(center, "llm", text, text=text, format="yaml")
        assert done["warnings"] == [
            "llm: the text as written is not kept, because it holds secret fields"
        ]
        assert get(center, "llm")["value"]["model"] == "m"


async def test_a_schema_names_every_error(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        rule = {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        }
        await center.set_schema(NS, "limits", {"json_schema": rule}, ALICE)
        name, members = await refusal(put(center, "limits", {"a": "s3cret", "b": 1}))

        assert name == "schema"
        assert {e["path"] for e in members["errors"]} == {".a", ".b"}
        assert "s3cret" not in str(members)
        assert center.get_schema(NS, "limits")["json_schema"] == rule
        bad = center.set_schema(NS, "limits", {"json_schema": {"type": "nope"}}, ALICE)
        assert (await refusal(bad))[0] == "invalid"
        assert {kind["kind"] for kind in center.kinds()} >= {"llm", "prompt"}


async def test_what_cannot_be_published_is_refused(tmp_path: Path) -> None:
    limits = Limits(value_bytes=100, change_bytes=150, keys=2, change_operations=2)
    async with service(tmp_path, limits=limits) as center:
        big = {"op": "put", "value": "x" * 90}
        too_big = [{**big, "key": "a"}, {**big, "key": "b"}]
        three = [{"op": "put", "key": k, "value": 1} for k in "abc"]
        cases: list[tuple[Awaitable[object], str]] = [
            (put(center, "_schema.x", {}), "invalid"),
            (put(center, "Upper", 1), "invalid"),
            (put(center, "a", "x" * 200), "too-large"),
            (put(center, "a", float("nan")), "invalid"),
            (put(center, "a", 1, format="xml"), "invalid"),
            (put(center, "a", 1, comment="x" * 1001), "invalid"),
            (put(center, "a", 1, rollout={"percent": 200}), "invalid"),
            (put(center, "a", 1, rollout={"percent": 1, "percnt": 1}), "invalid"),
            (center.change(NS, too_big, "", None, None, False, ALICE), "too-large"),
            (center.change(NS, three, "", None, None, False, ALICE), "too-large"),
            (center.change(NS, three[:1] * 2, "", None, None, False, ALICE), "invalid"),
            (center.delete(NS, "a", ALICE), "not-found"),
        ]
        for call, name in cases:
            assert (await refusal(call))[0] == name
        await center.change(NS, three[:2], "", None, None, False, ALICE)
        assert (await refusal(put(center, "c", 1)))[0] == "too-large"
        assert await center.validate(NS, "a", Put(value=1), ALICE) == {
            "ok": True,
            "warnings": ["a: the same value as version 1"],
        }


async def test_keys_are_listed_in_pages(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        for key in ("a.1", "a.2", "a.3", "b"):
            await put(center, key, 1)
        first = center.keys(NS, "a.", 2, None)
        rest = center.keys(NS, "a.", 2, first["next"])

        assert [row["key"] for row in first["items"]] == ["a.1", "a.2"]
        assert ([row["key"] for row in rest["items"]], rest["next"]) == (["a.3"], None)


async def test_namespaces_are_made_from_templates_and_ended(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        made = await center.create_namespace("prod", "gateway", ALICE)
        assert (made["mode"], made["keys"]) == ("ready", 0)
        assert center.get_schema("prod", "llm")["kind"] == "llm"
        names = [each["namespace"] for each in center.namespaces(ALICE)]
        assert names == ["default", "prod"]
        await center.delete_namespace("prod", ALICE)
        with pytest.raises(Problem, match="no namespace"):
            center.keys("prod", "", 10, None)
        again = center.create_namespace("prod", None, ALICE)
        assert (await refusal(again))[0] == "already-exists"


async def test_a_report_counts_only_when_its_instance_signed_it(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        await put(center, "prompt", "one")
        await put(center, "prompt", "two", rollout=TEN)
        asked = {"name": "gw", "role": "instance", "instance": "gw-1"}
        token = (await center.tokens.create(asked, ALICE))["token"]
        assert center.tokens.knows(token)
        assert "token" not in center.tokens.listed(ALICE)[0]
        actor = authenticate(center.registry.system.state, f"Bearer {token}", NOW)
        body = {
            "full": True,
            "position": "1-3",
            "keys": {"prompt@canary": {"version": 2, "arm": "canary", "state": "applied"}},
            "devices": {
                "rows": [{"device": "aa", "keys": {"prompt": {"version": 2, "arm": "canary"}}}]
            },
        }
        frame = Report("gw-1", "i", 1, 1, NS, body).encode(report_key(token))
        await center.report(NS, frame, actor)

        assert center.instances(NS, 10, None)["items"][0]["position"] == "1-3"
        assert [row["device"] for row in center.devices(NS, 10, None)["items"]] == ["aa"]
        units = center.rollouts.one(NS, "prompt")["units"]
        assert units == {"assigned": 1, "applied": 1, "refused": 0, "silent": 0}
        forged = Report("gw-1", "i", 2, 1, NS, body).encode(report_key("cc_other"))
        assert (await refusal(center.report(NS, forged, actor)))[0] == "forbidden"
        stranger = Actor("gw-2", "instance", instance="gw-2")
        assert (await refusal(center.report(NS, frame, stranger)))[0] == "forbidden"
        assert (await refusal(center.report(NS, b"junk", actor)))[0] == "invalid"
        await center.tokens.revoke(actor.token_id, ALICE)
        assert not center.tokens.knows(token)


async def test_the_first_admin_token_is_made_once(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        token = center.tokens.mint()

        assert token.startswith("cc_")
        assert await center.tokens.ensure_admin(token)
        assert center.tokens.knows(token)
        assert not await center.tokens.ensure_admin(center.tokens.mint())


async def test_secrets_published_at_once_share_one_fingerprint_key(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        for key in ("a", "b"):
            await center.set_schema(NS, key, {"kind": "llm"}, ALICE)
        await asyncio.gather(put(center, "a", LLM), put(center, "b", LLM))
        seals = [get(center, key)["value"]["api_key"] for key in ("a", "b")]
        done = await put(center, "b", LLM)

        assert seals[0] == seals[1]
        assert done["warnings"] == ["b: the same value as version 1"]


async def test_a_report_from_the_store_must_be_signed_by_its_instance(tmp_path: Path) -> None:
    class Streams(MemoryStore):
        frames: tuple[bytes, ...] = ()

        async def read_reports(self, ns: str, cursors: Any) -> Any:
            found, self.frames = [("gw-1", frame) for frame in self.frames], ()
            return found, dict(cursors)

    store = Streams()
    async with service(tmp_path, store) as center:
        asked = {"name": "gw", "role": "instance", "instance": "gw-1"}
        token = (await center.tokens.create(asked, ALICE))["token"]
        report = Report("gw-1", "i", 1, 1, NS, {"position": "1-1"})
        store.frames = (
            b"junk",
            replace(report, seq=9).encode(report_key("cc_forged")),
            replace(report, seq=8, ns="other").encode(report_key(token)),
            report.encode(report_key(token)),
        )
        await until(lambda: center.instances(NS, 10, None)["items"])

        assert [each["position"] for each in center.instances(NS, 10, None)["items"]] == ["1-1"]


async def test_versions_are_read_one_by_one_and_compared(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        for value in ({"a": 1}, {"a": 2}, {"a": 2, "b": 3}):
            await put(center, "limits", value)
        page = await center.versions(NS, "limits", 2, None)
        rest = await center.versions(NS, "limits", 2, page["next"])
        old = await center.key_version(NS, "limits", 1)

        assert [v["version"] for v in page["items"] + rest["items"]] == [3, 2, 1]
        assert (old["value"], old["author"]) == ({"a": 1}, "alice")
        patch = await center.diff(NS, "limits", 1, 3, "json-patch")
        assert patch["patch"] == [
            {"op": "replace", "path": "/a", "value": 2},
            {"op": "add", "path": "/b", "value": 3},
        ]
        unified = await center.diff(NS, "limits", 1, 2, "unified")
        assert '-  "a": 1\n+  "a": 2\n' in unified["diff"]
        for call in (
            center.key_version(NS, "limits", 9),
            center.versions(NS, "nobody", 2, None),
            center.diff(NS, "limits", None, 1, "structural"),
        ):
            assert (await refusal(call))[0] == "not-found"


async def test_a_pruned_version_is_said_to_be_pruned_and_when(tmp_path: Path) -> None:
    async with service(tmp_path) as center:
        registry = center.registry
        for number in range(8):
            await put(center, "k", number, comment=f"number {number}")
        ten = {**TEN, "allow": ["24:6f:28:a0:00:01"]}
        await put(center, "canary", "stable", comment="the stable one")
        await put(center, "canary", "next", rollout=ten)
        for number in range(8):
            await put(center, "noise", number)
        pruner = Pruner(
            registry.journal, registry.verifier, Keep(rows=3, versions=2), lambda: NOW * 2
        )
        await pruner.prune(registry.get(NS))

        reads = [
            center.key_version(NS, "k", 2),
            center.diff(NS, "k", 2, 8, "semantic"),
            center.rollback(NS, "k", 2, ALICE),
        ]
        for read in reads:
            with pytest.raises(Problem) as gone:
                await read
            assert gone.value.name == "not-found"
            assert "version 2 of k was pruned, on 2077-" in gone.value.detail
            assert gone.value.members == {"key": "k", "version": 2}
        never = await refusal(center.key_version(NS, "k", 99))
        assert never == ("not-found", {"key": "k", "version": 99})
        listed = (await center.versions(NS, "k", 10, None))["items"]
        assert [(row["version"], row["comment"]) for row in listed] == [
            (8, "number 7"),
            (7, "number 6"),
        ]
        assert (await center.rollback(NS, "k", None, ALICE)).body["rollback_of"] == 7
    async with service(tmp_path) as center:  # another store: read from base and rows
        shown = get(center, "canary")
        story = center.rollouts.one(NS, "canary")

        assert (shown["comment"], shown["author"]) == ("the stable one", "alice")
        assert (story["state"], story["keys"]) == (
            "running",
            [{"key": "canary", "from": 1, "to": 2}],
        )
        assert get(center, "k")["version"] == 9
