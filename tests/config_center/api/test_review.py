"""Policies, freeze and drafts over HTTP, as each role."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from client_sdk import Client
from client_sdk.errors import ApiError
from config_center.center import Center
from tests.config_center.api.test_scoped_tokens import events
from tests.config_center.api.world import NS, Http, center, http

ROLES = ("reader", "publisher", "approver", "operator", "admin")
NEW = {"operations": [{"op": "put", "key": "prompt", "value": "new"}], "comment": "shorter"}


async def people(api: Http, **about: Any) -> dict[str, Http]:
    """One token of each role; ``also`` is a second admin."""
    made = {}
    for role in (*ROLES, "also"):
        asked = {"name": role, "role": "admin" if role == "also" else role, **about}
        _, answer, _ = await api("POST", "/v1/tokens", asked)
        made[role] = api.with_token(answer["token"])
    return made


async def told(api: Http, method: str, path: str, body: Any = None, **headers: str) -> str:
    status, plain, _ = await api(method, path, body, **headers)
    name = plain.get("type", "").rpartition(":")[2]
    return f"{status} {name}".strip()


async def test_a5_each_role_does_its_part_of_a_reviewed_change_and_no_other(
    tmp_path: Path,
) -> None:
    async with http(tmp_path) as api:
        by = await people(api)
        await api("PUT", NS + "/keys/prompt", {"value": "old"})
        assert await told(api, "PUT", NS + "/policy", {"two_person": True}) == "200"

        plain = {r: await told(by[r], "PUT", NS + "/keys/prompt", {"value": 1}) for r in ROLES}
        assert plain == {
            "reader": "403 forbidden",
            "publisher": "409 needs-approval",
            "approver": "403 forbidden",
            "operator": "403 forbidden",
            "admin": "409 needs-approval",
        }
        drafting = {r: await told(by[r], "POST", NS + "/drafts", NEW) for r in ROLES}
        assert {r for r, said in drafting.items() if said == "201"} == {"publisher", "admin"}
        _, page, _ = await by["reader"]("GET", NS + "/drafts")
        mine = next(item for item in page["items"] if item["author"] == "publisher")
        theirs = next(item for item in page["items"] if item["author"] == "admin")

        path = f"{NS}/drafts/{mine['id']}"
        edits = [await told(by["approver"], verb, path, NEW) for verb in ("PUT", "PATCH", "POST")]
        assert edits == ["405 method-not-allowed"] * 3
        edited = {**NEW, "replaces": mine["id"]}
        assert await told(by["approver"], "POST", NS + "/drafts", edited) == "403 forbidden"
        own = {"content": theirs["content"]}
        own_path = f"{NS}/drafts/{theirs['id']}/approve"
        assert await told(by["admin"], "POST", own_path, own) == "403 forbidden"
        other = {"content": "0" * 64}
        assert await told(by["approver"], "POST", path + "/approve", other) == "412 version-moved"

        seen = {"content": mine["content"]}
        for role in ("reader", "publisher", "operator"):
            assert await told(by[role], "POST", path + "/approve", seen) == "403 forbidden"
        first = await by["approver"]("POST", path + "/approve", seen, **{"Idempotency-Key": "k"})
        again = await by["approver"]("POST", path + "/approve", seen, **{"Idempotency-Key": "k"})
        assert (first[0], first[1]["approved_by"]) == (200, "approver")
        assert again[1] == first[1]
        _, shown, _ = await api("GET", NS + "/keys/prompt")
        assert (shown["value"], shown["author"], shown["approved_by"]) == (
            "new",
            "publisher",
            "approver",
        )
        assert await told(by["also"], "POST", own_path, own) == "412 version-moved"
        end = f"{NS}/drafts/{theirs['id']}/reject"
        assert await told(by["approver"], "POST", end, {"comment": "late"}) == "200"


async def test_an_emergency_over_http_is_an_admins_with_a_comment_and_counted(
    tmp_path: Path,
) -> None:
    async with http(tmp_path) as api:
        by = await people(api)
        await api("PUT", NS + "/policy", {"two_person": True})
        path = NS + "/keys/prompt?urgent=true"
        body = {"value": "now", "comment": "it burns"}

        assert await told(by["publisher"], "PUT", path, body) == "409 needs-approval"
        assert await told(by["admin"], "PUT", path, {"value": "now"}) == "400 invalid"
        assert await told(by["admin"], "PUT", path, body) == "200"
        many = {"operations": [{"op": "delete", "key": "prompt"}], "comment": "it burns"}
        assert await told(by["admin"], "POST", NS + "/changes?urgent=true", many) == "200"
        _, metrics, _ = await api("GET", "/metrics")

        counted = 'config_center_emergency_publishes_total{namespace="default"} 2.0'
        assert counted in metrics.decode()


async def test_whoever_operates_pulls_the_brake_and_an_admin_lets_go(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        by = await people(api)
        why = {"reason": "incident 4711"}

        brakes = {r: await told(by[r], "POST", NS + "/freeze", why) for r in ROLES}
        assert {r for r, said in brakes.items() if said == "200"} == {
            "publisher",
            "operator",
            "admin",
        }
        status, frozen, _ = await by["publisher"]("PUT", NS + "/keys/prompt", {"value": 1})
        assert (status, frozen["reason"], frozen["by"]) == (503, "incident 4711", "admin")
        assert await told(by["operator"], "POST", NS + "/unfreeze") == "403 forbidden"
        assert await told(by["admin"], "POST", NS + "/unfreeze") == "200"

        for role in ("operator", "publisher"):
            assert await told(by[role], "POST", "/v1/freeze", why) == "403 forbidden"
        assert await told(by["admin"], "POST", "/v1/freeze", why) == "200"
        await api("PUT", "/v1/namespaces/other")
        elsewhere = "/v1/namespaces/other/keys/a"
        assert await told(by["publisher"], "PUT", elsewhere, {"value": 1}) == "503 frozen"
        _, shown, _ = await by["reader"]("GET", "/v1/freeze")
        assert shown["frozen"]["reason"] == "incident 4711"
        assert shown["namespaces"] == []
        assert await told(by["operator"], "POST", NS + "/freeze", why) == "200"
        _, lifted, _ = await by["admin"]("POST", "/v1/unfreeze", {"comment": "over"})
        assert (lifted["frozen"], lifted["lifted"]) == (None, shown["frozen"])
        assert [(own["namespace"], own["by"]) for own in lifted["namespaces"]] == [
            ("default", "operator")
        ]
        for found in ("operator", None):
            _, lifted, _ = await by["admin"]("POST", NS + "/unfreeze")
            assert (lifted["lifted"] and lifted["lifted"]["by"]) == found
        _, again, _ = await by["admin"]("POST", "/v1/unfreeze", {})
        assert again == {"frozen": None, "namespaces": [], "lifted": None}
        assert await told(by["publisher"], "PUT", elsewhere, {"value": 1}) == "200"


async def test_the_event_stream_says_what_became_of_rules_and_drafts(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        by = await people(api)
        start = (await api("GET", NS))[1]["position"]
        await by["operator"]("POST", NS + "/freeze", {"reason": "incident 4711"})
        await api("POST", NS + "/unfreeze")
        _, draft, _ = await by["publisher"]("POST", NS + "/drafts", NEW)
        await by["approver"]("POST", f"{NS}/drafts/{draft['id']}/reject", {})
        await api("PUT", NS + "/keys/last", {"value": 1})

        told = {
            role: await events(by[role], f"{NS}/watch?after={start}", b'"last"')
            for role in ("reader", "publisher")
        }

        said = [orjson.loads(line[6:]) for line in told["reader"].splitlines() if b"author" in line]
        assert told["reader"] == told["publisher"]
        assert [each.get("what") for each in said] == [
            *("frozen: incident 4711", "freeze lifted"),
            *(f"draft {draft['id']} of publisher rejected", None),
        ]


async def test_drafts_of_a_namespace_one_cannot_see_are_not_there(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", "/v1/namespaces/other")
        _, draft, _ = await api("POST", NS + "/drafts", NEW)
        outside = (await people(api, namespaces=["other"]))["approver"]

        seen = {"content": draft["content"]}
        for ns in ("default", "other"):
            path = f"/v1/namespaces/{ns}/drafts/{draft['id']}"
            assert await told(outside, "GET", path) == "404 not-found"
            assert await told(outside, "POST", path + "/approve", seen) == "404 not-found"


async def test_a4_two_persons_with_a_prefix_agree_on_what_is_within_it(tmp_path: Path) -> None:
    scopes = [{"namespace": "default", "prefix": "llm."}]
    inside = {"operations": [{"op": "put", "key": "llm.cn", "value": "new"}]}
    async with http(tmp_path) as api:
        by = await people(api, scopes=scopes)
        await api("PUT", NS + "/policy", {"two_person": True})
        _, asked, _ = await api("POST", "/v1/tokens", {"name": "publisher", "role": "publisher"})
        namesake, once = api.with_token(asked["token"]), {"Idempotency-Key": "k1"}
        _, beyond, _ = await namesake("POST", NS + "/drafts", NEW, **once)

        status, told_, _ = await by["publisher"]("POST", NS + "/drafts", NEW)
        assert (status, told_["prefixes"]) == (403, ["llm."])
        status, draft, _ = await by["publisher"]("POST", NS + "/drafts", inside)
        assert status == 201
        for role in ROLES:
            _, page, _ = await by[role]("GET", NS + "/drafts")
            assert [item["id"] for item in page["items"]] == [draft["id"]], role
            path = f"{NS}/drafts/{beyond['id']}"
            assert await told(by[role], "GET", path) == "404 not-found"
        seen = {"content": beyond["content"]}
        for verb, body in (("approve", seen), ("reject", {}), ("withdraw", {})):
            path = f"{NS}/drafts/{beyond['id']}/{verb}"
            assert await told(by["also"], "POST", path, body) == "404 not-found"
        # Neither is a draft beyond ended by way of its id, as that of a change.
        path = f"{NS}/changes/{beyond['id']}"
        assert await told(by["publisher"], "DELETE", path) == "403 forbidden"
        # Nor by the text of which its id was made, which no Idempotency-Key can be.
        path = f"{NS}/changes/draft%0Ak1"
        assert await told(by["publisher"], "DELETE", path) == "400 invalid"

        path = f"{NS}/drafts/{draft['id']}/approve"
        assert await told(by["approver"], "POST", path, {"content": draft["content"]}) == "200"
        assert (await api("GET", NS + "/keys/llm.cn"))[1]["approved_by"] == "approver"
        path = f"{NS}/drafts/{beyond['id']}"
        assert (await api("GET", path))[1]["state"] == "waiting"


async def test_a5_an_instance_is_shown_no_draft(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        _, draft, _ = await api("POST", NS + "/drafts", NEW)
        asked = {"name": "gw", "role": "instance", "instance": "gw"}
        _, made, _ = await api("POST", "/v1/tokens", asked)
        gateway = api.with_token(made["token"])

        for path in ("/drafts", f"/drafts/{draft['id']}"):
            assert await told(gateway, "GET", NS + path) == "403 forbidden"
        assert await told(gateway, "GET", NS + "/keys") == "200"


async def test_a5_a_draft_ends_with_the_token_that_wrote_it(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        by = await people(api)
        _, draft, _ = await by["publisher"]("POST", NS + "/drafts", NEW)
        mine = (await by["publisher"]("GET", "/v1/whoami"))[1]["id"]
        await api("DELETE", f"/v1/tokens/{mine}")

        path, seen = f"{NS}/drafts/{draft['id']}", {"content": draft["content"]}
        status, refused, _ = await by["approver"]("POST", path + "/approve", seen)
        assert (status, refused["state"], refused["author"]) == (409, "author-gone", "publisher")
        assert "makes it again" in refused["detail"]
        assert (await api("GET", path))[1]["state"] == "author-gone"
        assert await told(by["approver"], "POST", path + "/reject") == "200"


def following(opened: Center, home: Path) -> AbstractAsyncContextManager[Client]:
    """A client of it, with its admin's token."""
    return Client.connect(
        opened.url,
        instance="gw-1",
        token=opened.admin_token,
        state=home / "state",
        timeout=30.0,
    )


async def test_a_client_that_publishes_hears_of_a_freeze_at_once(tmp_path: Path) -> None:
    async with center(tmp_path) as opened, aiohttp.ClientSession() as session:
        api = Http(session, opened, opened.admin_token)
        await api("POST", "/v1/freeze", {"reason": "incident 4711"})

        async with following(opened, tmp_path) as client:
            with pytest.raises(ApiError, match="incident 4711"):
                async with asyncio.timeout(30):
                    await client.put("prompt", "new")


async def test_clients_receive_neither_policies_nor_drafts(tmp_path: Path) -> None:
    async with center(tmp_path) as opened, aiohttp.ClientSession() as session:
        api = Http(session, opened, opened.admin_token)
        await api("PUT", NS + "/keys/prompt", {"value": "old"})
        await api("PUT", NS + "/policy", {"two_person": True})
        await api("POST", NS + "/drafts", NEW)

        async with following(opened, tmp_path) as client:
            assert client.get("prompt") == "old"
            assert client.get("_policy", None) is None
            _, image, _ = await api("GET", NS + "/snapshot")
            assert b"two_person" in image
            assert b"draft" not in image
