from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.config_center.api.world import NS, http

PROMPT = f"{NS}/keys/prompt"


async def test_a_publish_is_read_back_with_all_about_it(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        status, done, headers = await call("PUT", PROMPT, {"value": "hello", "comment": "why"})
        _, found, _ = await call("GET", PROMPT)

    assert status == 200
    assert headers["ETag"] == f'"{done["epoch"]}-{done["revision"]}"'
    assert (done["key"], done["version"], done["latest"], done["rollout"]) == ("prompt", 1, 1, None)
    expected = {
        "key": "prompt",
        "version": 1,
        "latest": 1,
        "format": "json",
        "kind": None,
        "value": "hello",
        "sha256": done["sha256"],
        "epoch": done["epoch"],
        "revision": done["revision"],
        "comment": "why",
        "author": "admin",
        "rollout": None,
    }
    assert {name: found[name] for name in expected} == expected


async def test_the_versions_of_a_canary_promoted_and_rolled_back(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": "one"})
        _, canary, _ = await call("PUT", PROMPT, {"value": "two", "rollout": {"percent": 10}})
        _, during, _ = await call("GET", PROMPT)
        _, moved, _ = await call("POST", f"{NS}/rollouts/prompt/promote")
        _, after, _ = await call("GET", PROMPT)
        _, back, _ = await call("POST", f"{PROMPT}/rollback", {})
        _, history, _ = await call("GET", f"{PROMPT}/versions")

    assert (canary["version"], canary["latest"]) == (1, 2)
    assert (during["value"], during["rollout"]["percent"]) == ("one", 10)
    assert moved["state"] == "promoted"
    assert (after["value"], after["version"], after["rollout"]) == ("two", 2, None)
    assert (back["version"], back["latest"], back["rollback_of"]) == (3, 3, 1)
    assert back["revision"] > canary["revision"]
    assert [item["version"] for item in history["items"]] == [3, 2, 1]


async def test_an_abort_gives_out_no_version_and_the_number_is_not_used_again(
    tmp_path: Path,
) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": "one"})
        await call("PUT", PROMPT, {"value": "two", "rollout": {"percent": 10}})
        _, aborted, _ = await call("POST", f"{NS}/rollouts/prompt/abort")
        _, found, _ = await call("GET", PROMPT)
        _, next_one, _ = await call("PUT", PROMPT, {"value": "three"})

    assert aborted["state"] == "aborted"
    assert (found["version"], found["latest"], found["value"]) == (1, 2, "one")
    assert next_one["version"] == 3


async def test_a_running_rollout_refuses_other_changes_unless_superseded(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": "one"})
        await call("PUT", PROMPT, {"value": "two", "rollout": {"percent": 10}})
        refusals = [
            await call("PUT", PROMPT, {"value": "three"}),
            await call("DELETE", PROMPT),
            await call("POST", f"{PROMPT}/rollback", {"to": 1}),
        ]
        status, done, _ = await call("PUT", f"{PROMPT}?supersede=true", {"value": "three"})

    assert [r[0] for r in refusals] == [409, 409, 409]
    assert all(r[1]["type"].endswith("rollout-running") for r in refusals)
    assert (status, done["version"], done["rollout"]) == (200, 3, None)


async def test_a_pair_goes_together_and_a_unit_gets_both_or_none(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        first = [{"op": "put", "key": key, "value": "old"} for key in ("llm", "prompt")]
        await call("POST", f"{NS}/changes", {"operations": first})
        both = [{"op": "put", "key": key, "value": "new"} for key in ("llm", "prompt")]
        body = {"operations": both, "rollout": {"percent": 50}}
        status, _, _ = await call("POST", f"{NS}/changes", body)
        pairs = []
        for i in range(20):
            unit = f"unit=24:6f:28:a0:00:{i:02x}"
            llm = (await call("GET", f"{NS}/keys/llm?{unit}"))[1]
            prompt = (await call("GET", f"{PROMPT}?{unit}"))[1]
            pairs.append((llm["value"], prompt["value"]))
        _, rollout, _ = await call("GET", f"{NS}/rollouts/llm")

    assert status == 200
    assert set(pairs) == {("old", "old"), ("new", "new")}
    assert {key["key"] for key in rollout["keys"]} == {"llm", "prompt"}


async def test_a_retry_with_the_same_key_takes_effect_once_and_reads_the_same(
    tmp_path: Path,
) -> None:
    async with http(tmp_path) as call:
        once = {"Idempotency-Key": "k-1"}
        _, first, _ = await call("PUT", PROMPT, {"value": "hello"}, **once)
        _, again, _ = await call("PUT", PROMPT, {"value": "hello"}, **once)
        status, other, _ = await call("PUT", PROMPT, {"value": "different"}, **once)
        _, state, _ = await call("GET", f"{NS}/changes/k-1")

    assert again == first
    assert (status, other["type"]) == (422, "urn:config-center:problem:id-reused")
    assert (state["state"], state["revision"]) == ("acknowledged", first["revision"])


async def test_a_cancelled_id_never_takes_effect(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        _, gone, _ = await call("DELETE", f"{NS}/changes/k-1")
        status, _, _ = await call("PUT", PROMPT, {"value": "x"}, **{"Idempotency-Key": "k-1"})
        missing, _, _ = await call("GET", PROMPT)

    assert gone["state"] == "cancelled"
    assert (status, missing) == (422, 404)


async def test_conditions_are_kept(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        _, _, headers = await call("PUT", PROMPT, {"value": 1}, **{"If-None-Match": "*"})
        statuses = [
            (await call("PUT", PROMPT, {"value": 2}, **condition))[0]
            for condition in (
                {"If-None-Match": "*"},
                {"If-Match": '"9"'},
                {"If-Match": '"1-9999"'},
                {"If-Match": headers["ETag"]},
                {"If-Match": headers["ETag"]},
                {"If-Match": '"2"'},
            )
        ]

    assert statuses == [412, 412, 412, 200, 412, 200]


async def test_removing_can_be_taken_back(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": "hello"})
        status, _, _ = await call("DELETE", PROMPT)
        gone, _, _ = await call("GET", PROMPT)
        _, back, _ = await call("POST", f"{PROMPT}/rollback", {})
        _, found, _ = await call("GET", PROMPT)

    assert (status, gone) == (200, 404)
    assert (found["value"], found["version"], back["rollback_of"]) == ("hello", 2, 1)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("application/yaml", "on: yes\nlist: [1, 2]\n", {"on": "yes", "list": [1, 2]}),
        ("application/toml", "a = 1\n", {"a": 1}),
        ("text/plain", "You are 简短.", "You are 简短."),
    ],
)
async def test_a_text_is_kept_as_given_and_parsed_once(
    tmp_path: Path, kind: str, text: str, value: object
) -> None:
    async with http(tmp_path) as call:
        status, _, _ = await call("PUT", PROMPT, raw=text.encode(), **{"Content-Type": kind})
        _, found, _ = await call("GET", PROMPT)

    assert status == 200
    assert (found["value"], found["text"]) == (value, text)


BAD = [
    (b"", 400),
    (b"[]", 400),
    (b"{", 400),
    (b'{"value": NaN}', 400),
    (b'{"value": 18446744073709551616}', 400),
    (b'{"value": 1, "value": 2}', 400),
    (b'{"valu": 1}', 400),
    (b'{"value": "\xff"}', 400),
    (b'{"value": "\\ud800"}', 400),
    (b'{"value": 1, "format": "xml"}', 400),
    (b'{"value": 1, "format": "yaml"}', 400),
    (b'{"value": "&a [*a]", "format": "yaml"}', 400),
    (b'{"value": "a: 1\\na: 2", "format": "yaml"}', 400),
    (b'{"value": "!!python/name:os.system x", "format": "yaml"}', 400),
    (b'{"value": "a = ", "format": "toml"}', 400),
    (b'{"value": 1, "comment": 7}', 400),
    (b'{"value": 1, "rollout": {}}', 400),
    (b'{"value": 1, "rollout": {"percent": 101}}', 400),
    (b'{"value": 1, "rollout": {"percent": "10"}}', 400),
    (b'{"value": 1, "rollout": {"percent": 1, "unit": "planet"}}', 400),
    (b'{"value": 1, "rollout": {"percent": 1, "rules": [{"attribute": 1}]}}', 400),
    (b'{"value": ' + b"[" * 40 + b"]" * 40 + b"}", 400),
    (b'{"value": "' + b"x" * 300_000 + b'"}', 413),
    (b'{"value": "' + b"x" * 2_000_000 + b'"}', 413),
]


async def test_bad_bodies_get_a_sentence_and_nothing_is_stored(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        answers = [await call("PUT", PROMPT, raw=raw) for raw, _ in BAD]
        missing, _, _ = await call("GET", PROMPT)

    got = [(raw[:40], status) for (raw, _), (status, _, _) in zip(BAD, answers, strict=True)]
    assert got == [(raw[:40], status) for raw, status in BAD]
    assert all(len(plain["detail"]) > 10 for _, plain, _ in answers)
    assert missing == 404


@pytest.mark.parametrize("key", ["A", "_schema.llm", "a%2Fb", "%00", "x" * 129, "%ff"])
async def test_bad_names_are_refused(tmp_path: Path, key: str) -> None:
    async with http(tmp_path) as call:
        put, _, _ = await call("PUT", f"{NS}/keys/{key}", {"value": 1})
        get, _, _ = await call("GET", f"{NS}/keys/{key}")

    assert put in (400, 404)
    assert get in (400, 404)


async def test_a_misspelt_parameter_is_refused_with_the_nearest(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        status, plain, _ = await call("PUT", f"{PROMPT}?supercede=true", {"value": 1})

    assert status == 400
    assert "supersede" in plain["detail"]


async def test_a_kind_refuses_with_every_error_and_masks_its_secrets(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", f"{NS}/keys/llm/schema", {"kind": "llm"})
        bad = {"type": "openai", "base_url": "nowhere", "model": "", "api_key": "sk-1"}
        status, plain, _ = await call("PUT", f"{NS}/keys/llm", {"value": bad})
        good = {**bad, "base_url": "http://127.0.0.1:1/v1", "model": "m"}
        put, _, _ = await call("PUT", f"{NS}/keys/llm", {"value": good})
        _, found, _ = await call("GET", f"{NS}/keys/llm")
        _, raw, _ = await call("GET", f"{NS}/snapshot")
        again, same, _ = await call("PUT", f"{NS}/keys/llm", {"value": found["value"]})

    assert status == 422
    assert len(plain["errors"]) >= 2
    assert put == 200
    assert found["value"]["api_key"].keys() == {"$sealed"}
    assert b"sk-1" not in raw
    assert again == 200
    assert same["warnings"] != []


async def test_what_becomes_secret_later_is_masked_everywhere_and_does_not_come_back_readable(
    tmp_path: Path,
) -> None:
    """Version 1 was written before anybody said that one of its fields is a secret."""
    async with http(tmp_path) as call:
        value = {"type": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
        text = orjson.dumps({**value, "api_key": "sk-old"}).decode()
        await call("PUT", f"{NS}/keys/llm", {"value": text, "format": "yaml"})
        _, bound, _ = await call("PUT", f"{NS}/keys/llm/schema", {"kind": "llm"})
        shown = [
            (await call("GET", f"{NS}/keys/llm{question}"))[1]
            for question in ("", "?version=1", "?unit=24:6f:28:a0:00:01")
        ]
        new = {**value, "api_key": "sk-new"}
        await call("PUT", f"{NS}/keys/llm", {"value": new})
        shown += [
            (await call("GET", f"{NS}/keys/llm/diff?from=1&to=2&format={form}"))[1]
            for form in ("structural", "unified", "json-patch")
        ]
        status, back, _ = await call("POST", f"{NS}/keys/llm/rollback", {"to": 1})
        _, now, _ = await call("GET", f"{NS}/snapshot")
        again, _, _ = await call("POST", f"{NS}/keys/llm/rollback", {"to": 2})

    assert "/api_key is secret from now on" in bound["warnings"][0]
    assert all("sk-" not in str(each) for each in shown)
    assert all("$sealed" in str(each) for each in shown)
    assert (status, back["rollback_of"], again) == (200, 1, 200)
    assert b"sk-" not in now


async def test_a_json_schema_of_ones_own_is_kept(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    async with http(tmp_path) as call:
        await call("PUT", f"{NS}/keys/conf/schema", {"json_schema": schema})
        status, plain, _ = await call("PUT", f"{NS}/keys/conf", {"value": {"a": "x"}})
        good, _, _ = await call("PUT", f"{NS}/keys/conf", {"value": {"a": 1}})
        broken, _, _ = await call("PUT", f"{NS}/keys/x/schema", {"json_schema": {"type": 7}})

    assert (status, good, broken) == (422, 200, 400)
    assert plain["errors"][0]["path"] == ".a"


async def test_differences_in_three_forms(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": {"a": 1, "b": 2}})
        await call("PUT", PROMPT, {"value": {"a": 1, "b": 3}})
        forms = [
            (await call("GET", f"{PROMPT}/diff?format={form}"))
            for form in ("structural", "unified", "json-patch", "nonsense")
        ]

    assert [status for status, _, _ in forms] == [200, 200, 200, 400]
    assert b"3" in str(forms[1][1]).encode()


async def test_a_dry_run_publishes_nothing(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        status, plain, _ = await call("POST", f"{PROMPT}/validate", {"value": "x"})
        bad, _, _ = await call("POST", f"{PROMPT}/validate", {"value": 1, "format": "yaml"})
        missing, _, _ = await call("GET", PROMPT)

    assert (status, bad, missing) == (200, 400, 404)
    assert plain["warnings"] == []


async def test_a_smaller_share_needs_force(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        await call("PUT", PROMPT, {"value": 1, "rollout": {"percent": 50, "steps": [60, 100]}})
        step = f"{NS}/rollouts/prompt/step"
        _, first, _ = await call("POST", step, {})
        shrink, plain, _ = await call("POST", step, {"percent": 10})
        forced, smaller, _ = await call("POST", step, {"percent": 10, "force": True})

    assert first["percent"] == 60
    assert (shrink, plain["type"]) == (409, "urn:config-center:problem:would-shrink")
    assert (forced, smaller["percent"]) == (200, 10)


async def test_lists_are_paged(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        ops = [{"op": "put", "key": f"k{i}", "value": i} for i in range(5)]
        await call("POST", f"{NS}/changes", {"operations": ops})
        _, first, _ = await call("GET", f"{NS}/keys?limit=3")
        _, second, _ = await call("GET", f"{NS}/keys?limit=3&after={first['next']}")

    assert [item["key"] for item in first["items"]] == ["k0", "k1", "k2"]
    assert [item["key"] for item in second["items"]] == ["k3", "k4"]
    assert second["next"] is None
