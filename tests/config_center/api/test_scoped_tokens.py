"""Tokens that are limited: to namespaces, to prefixes of keys, in time; and who makes them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from client_sdk.reports import Report, report_key
from config_center.api import ROUTES
from config_center.review.policy import RULES
from tests.config_center.api.world import NS, QUICK, Http, http
from tests.until import until

PREFIXED = [{"namespace": "default", "prefix": "llm."}]
SEALED = ("reseal_key", "shred_version", "would_shred")
OTHER = "/v1/namespaces/other"
WHOLE = ("snapshot", "records", "news", "ring", "objects/" + "0" * 64, "watch?as=records")


async def made(api: Http, role: str = "publisher", **about: object) -> tuple[Http, dict[str, Any]]:
    """A client with a token of its own, and what is told of that token."""
    status, told, _ = await api("POST", "/v1/tokens", {"name": "t", "role": role, **about})
    assert status == 201, told
    return api.with_token(told["token"]), told


async def publish(api: Http, *keys: str, **more: object) -> None:
    operations = [{"op": "put", "key": key, "value": key} for key in keys]
    status, told, _ = await api("POST", f"{NS}/changes", {"operations": operations, **more})
    assert status == 200, told


async def refusal(api: Http, method: str, path: str, body: object = None, **headers: str) -> str:
    """The status and name of what is answered."""
    status, told, _ = await api(method, path, body, **headers)
    name = told["type"].rpartition(":")[2] if isinstance(told, dict) and "type" in told else ""
    return f"{status} {name}".strip()


async def test_a4_every_route_of_a_key_looks_to_the_prefix(tmp_path: Path) -> None:
    """Each route with a key in its path: allowed within, 403 beyond, is there such a key or not."""
    async with http(tmp_path) as api:
        await publish(api, "llm.cn", "tts")
        await publish(api, "llm.cn", "tts", comment="again")
        one, _ = await made(api, "admin", scopes=PREFIXED)
        bodies: dict[str, object] = {
            "put_key": {"value": 1},
            "validate_key": {"value": 1},
            "rollback_key": {"to": 1},
            "put_schema": {"json_schema": {}},
            "shred_version": {"version": 1},
        }
        routes = [route for route in ROUTES if "{key}" in route.path]
        assert len(routes) >= 9
        for route in sorted(routes, key=lambda route: route.method == "DELETE"):
            for key in ("tts", "llm", "llm2", "nowhere"):
                path = route.path.format(ns="default", key=key)
                status, told, _ = await one(route.method, path, bodies.get(route.name))
                assert status == 403, (route.method, path, told)
                assert told["prefixes"] == ["llm."]
                assert "begin with llm." in told["detail"]
            path = route.path.format(ns="default", key="llm.cn")
            status, told, _ = await one(route.method, path, bodies.get(route.name))
            may_be = (400, 409) if route.name in SEALED else (200,)
            assert status in may_be, (route.method, path, told)  # nothing of it is sealed
        assert (await api("GET", f"{NS}/keys/tts"))[1]["latest"] == 2


async def test_a4_a_change_is_refused_when_any_of_its_keys_is_beyond(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await publish(api, "tts")
        one, _ = await made(api, scopes=PREFIXED)
        inside = {"op": "put", "key": "llm.cn", "value": 1}
        for beyond in (
            {"op": "put", "key": "tts", "value": 1},
            {"op": "put", "key": "tts", "value": 1, "if_version": 77},  # else 412 says where it is
            {"op": "delete", "key": "tts"},
        ):
            for path, more in (("changes", {}), ("rollouts", {"rollout": {"percent": 10}})):
                body = {"operations": [inside, beyond], **more}
                assert await refusal(one, "POST", f"{NS}/{path}", body) == "403 forbidden"
        assert await refusal(one, "POST", f"{NS}/changes", {"operations": [7]}) == "400 invalid"

        await publish(one, "llm.cn")
        assert [row["key"] for row in (await api("GET", f"{NS}/keys"))[1]["items"]] == [
            "llm.cn",
            "tts",
        ]


async def test_a4_superseding_a_rollout_of_keys_beyond_is_refused(tmp_path: Path) -> None:
    """One key of the rollout is reached: ending it would take the other key's canary away."""
    async with http(tmp_path) as api:
        await publish(api, "llm.cn", "tts")
        await publish(api, "llm.cn", "tts", rollout={"percent": 10})
        one, _ = await made(api, scopes=PREFIXED)

        assert (
            await refusal(one, "PUT", f"{NS}/keys/llm.cn?supersede=true", {"value": 1})
            == "403 forbidden"
        )
        assert await refusal(one, "DELETE", f"{NS}/keys/llm.cn?supersede=true") == "403 forbidden"
        assert (await api("GET", f"{NS}/keys/tts"))[1]["rollout"]["state"] == "running"
        assert await refusal(one, "PUT", f"{NS}/keys/llm.new", {"value": 1}) == "200"


async def test_a4_a_rollout_is_within_a_prefix_when_all_its_keys_are(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await publish(api, "llm.cn", "llm.en", "tts")
        await publish(api, "llm.cn", "tts", rollout={"percent": 10})
        await publish(api, "llm.en", rollout={"percent": 10})
        rows = (await api("GET", f"{NS}/rollouts"))[1]["items"]
        mixed = next(row["id"] for row in rows if len(row["keys"]) == 2)
        one, _ = await made(api, "operator", scopes=PREFIXED)

        seen = (await one("GET", f"{NS}/rollouts"))[1]["items"]
        assert [[key["key"] for key in row["keys"]] for row in seen] == [["llm.en"]]
        for which in (mixed, "llm.cn", "tts"):
            assert await refusal(one, "GET", f"{NS}/rollouts/{which}") == "403 forbidden"
            for verb in ("step", "pause", "resume", "promote", "abort"):
                path = f"{NS}/rollouts/{which}/{verb}"
                assert await refusal(one, "POST", path, {}) == "403 forbidden"
        assert await refusal(one, "GET", f"{NS}/rollouts/nowhere") == "404 not-found"
        assert await refusal(one, "POST", f"{NS}/rollouts/llm.en/promote", {}) == "200"


async def test_a4_lists_and_hints_show_what_is_within_the_prefix(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await publish(api, "llm.a", "llm.b", "llmx", "tts")
        one, _ = await made(
            api, "reader", scopes=[*PREFIXED, {"namespace": "default", "prefix": "z"}]
        )

        async def names(query: str = "") -> tuple[list[str], str | None]:
            told = (await one("GET", f"{NS}/keys{query}"))[1]
            return [row["key"] for row in told["items"]], told["next"]

        assert await names() == (["llm.a", "llm.b"], None)
        assert await names("?limit=1") == (["llm.a"], "llm.a")
        assert await names("?limit=1&after=llm.a") == (["llm.b"], None)
        assert await names("?prefix=t") == ([], None)
        assert "did you mean llmx" in (await api("GET", f"{NS}/keys/llm.x"))[1]["detail"]
        detail = (await one("GET", f"{NS}/keys/llm.x"))[1]["detail"]
        assert "llm.x" in detail
        assert "llmx" not in detail


async def test_a4_the_rules_of_a_namespace_are_told_to_whoever_they_bind(tmp_path: Path) -> None:
    """They hold for every key and name none; whose changes they stop, and why, is told as well."""
    async with http(tmp_path) as api:
        await publish(api, "tts", comment="salary")
        await api("PUT", f"{NS}/policy", {"staged": True})
        await api("POST", f"{NS}/freeze", {"reason": "incident 4711"})
        one, _ = await made(api, "admin", scopes=PREFIXED)

        told = (await one("GET", f"{NS}/policy"))[1]

        assert told == (await api("GET", f"{NS}/policy"))[1]
        assert set(told) == {"namespace", *RULES, "frozen", "center"}
        assert (told["staged"], told["frozen"]["reason"]) == (True, "incident 4711")
        for method, path, body in (
            ("PUT", f"{NS}/policy", {"staged": False}),
            ("POST", f"{NS}/freeze", {"reason": "mine"}),
            ("GET", "/v1/freeze", None),
        ):
            assert await refusal(one, method, path, body) == "403 forbidden"
        await api("PUT", OTHER)
        assert await refusal(one, "GET", f"{OTHER}/policy") == "404 not-found"


async def test_a4_what_is_signed_as_a_whole_takes_a_token_without_a_prefix(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await publish(api, "llm.a", "tts")
        one, _ = await made(api, "reader", scopes=PREFIXED)
        whole, _ = await made(api, "reader", scopes=[*PREFIXED, {"namespace": "default"}])
        for path in WHOLE:
            status, told, _ = await one("GET", f"{NS}/{path}")
            assert (status, told["prefixes"]) == (403, ["llm."]), path
            assert "token without a prefix" in told["detail"]
        for path in WHOLE[:4]:
            assert (await whole("GET", f"{NS}/{path}"))[0] == 200, path
        for path in ("instances", "devices", "orphans"):
            assert (await one("GET", f"{NS}/{path}"))[0] == 403, path
        assert (await one("GET", NS))[0] == 200


async def events(api: Http, path: str, until: bytes) -> bytes:
    """The stream up to the first line that holds these bytes."""
    headers = {"Authorization": f"Bearer {api.token}"}
    read = b""
    async with (
        asyncio.timeout(30.0),
        aiohttp.ClientSession(headers=headers) as session,
        session.get(api.url + path) as stream,
    ):
        assert stream.status == 200
        async for line in stream.content:
            read += line
            if until in line:
                break
    return read


async def test_a4_the_event_stream_tells_of_what_is_within_the_prefix(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        start = (await api("GET", NS))[1]["position"]
        await publish(api, "tts", comment="salary")
        await publish(api, "llm.a", "tts")
        await publish(api, "llm.last")
        one, _ = await made(api, "reader", scopes=PREFIXED)

        told = await events(one, f"{NS}/watch?after={start}", b"llm.last")

        assert b"llm.a" in told
        assert b"tts" not in told
        assert b"salary" not in told


async def test_a4_the_state_of_a_change_of_keys_beyond_is_not_told(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await publish(api, "tts")
        theirs = (await api("PUT", f"{NS}/keys/tts", {"value": 2}))[1]["change"]
        one, _ = await made(api, scopes=PREFIXED)
        mine = (await one("PUT", f"{NS}/keys/llm.a", {"value": 2}))[1]["change"]
        bound = (await api("PUT", f"{NS}/keys/tts/schema", {"json_schema": {}}))[1]["change"]
        assert await refusal(one, "GET", f"{NS}/changes/{bound}") == "403 forbidden"
        never = "f" * 32

        assert await refusal(one, "GET", f"{NS}/changes/{theirs}") == "403 forbidden"
        assert (await one("GET", f"{NS}/changes/{mine}"))[1]["keys"] == ["llm.a"]
        assert await refusal(one, "DELETE", f"{NS}/changes/{never}") == "403 forbidden"
        assert (await one("DELETE", f"{NS}/changes/my-own"))[1]["state"] == "cancelled"
        assert (await api("GET", f"{NS}/changes/{never}"))[1]["state"] == "absent"


async def test_a5_an_admin_of_a_namespace_gives_no_more_than_he_has(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", OTHER)
        mine, about = await made(api, "admin", name="mine", namespaces=["default"], ttl=3600)
        _, root = await made(api, "admin", name="root")
        _, theirs = await made(api, "reader", name="theirs", namespaces=["other"])
        _, both = await made(api, "reader", name="both", namespaces=["default", "other"])

        async def make(**asked: object) -> str:
            return await refusal(mine, "POST", "/v1/tokens", {"name": "x", **asked})

        for scopes in (
            [],
            [{"namespace": "other"}],
            [{"namespace": "default"}, {"namespace": "x"}],
        ):
            assert await make(role="reader", scopes=scopes, ttl=60) == "403 forbidden"
        assert await make(role="reader", namespaces=["default"]) == "403 forbidden"
        assert await make(role="reader", namespaces=["default"], ttl=9999) == "403 forbidden"
        helper, _ = await made(mine, "admin", name="helper", scopes=PREFIXED, ttl=60)

        rows = (await mine("GET", "/v1/tokens"))[1]["items"]
        assert {row["name"] for row in rows} == {"mine", "helper"}
        for beyond in (root, theirs, both):
            assert await refusal(mine, "DELETE", f"/v1/tokens/{beyond['id']}") == "404 not-found"
        assert await refusal(helper, "DELETE", f"/v1/tokens/{about['id']}") == "404 not-found"
        for method, path in (
            ("PUT", "/v1/namespaces/default"),
            ("DELETE", "/v1/namespaces/default"),
            ("GET", "/v1/health/checks"),
        ):
            assert await refusal(mine, method, path) == "403 forbidden"
        assert await refusal(mine, "PUT", OTHER) == "403 forbidden"
        assert await refusal(mine, "DELETE", f"/v1/tokens/{about['id']}") == "400 invalid"
        assert [n["namespace"] for n in (await mine("GET", "/v1/namespaces"))[1]["items"]] == [
            "default"
        ]


async def test_a_token_is_refused_from_the_moment_on_at_which_it_expires(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        tokens = api.center.service.tokens
        now = tokens.clock_ms()
        tokens.clock_ms = lambda: now
        one, about = await made(api, "reader", ttl=60)
        _, told, _ = await one("GET", "/v1/whoami")
        assert told["expires_at"] == about["expires_at"]
        assert (told["role"], told["permissions"], told["scopes"]) == (
            "reader",
            ["read", "review"],
            [],
        )

        tokens.clock_ms = lambda: now + 60_000
        status, told, headers = await one("GET", "/v1/whoami")

        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert told["detail"].startswith(f"this token expired at {about['expires_at']}")
        row = next(r for r in (await api("GET", "/v1/tokens"))[1]["items"] if r["name"] == "t")
        assert row["expired"]
        assert row["last_used_at"] is not None
        assert await refusal(api, "DELETE", f"/v1/tokens/{about['id']}") == "200"


async def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        tokens = api.center.service.tokens
        for end in ("revoked", "expired"):
            one, about = await made(api, "reader", ttl=3600)
            headers = {"Authorization": f"Bearer {one.token}"}
            async with (
                asyncio.timeout(30.0),
                aiohttp.ClientSession(headers=headers) as session,
                session.get(f"{api.url}{NS}/watch") as stream,
            ):
                await stream.content.readuntil(b"heartbeat")
                if end == "revoked":
                    await api("DELETE", f"/v1/tokens/{about['id']}")
                else:
                    later = tokens.clock_ms() + 3_600_001
                    tokens.clock_ms = lambda later=later: later
                await stream.content.read()  # to its end


async def test_a_poll_that_waits_tells_nothing_to_a_token_that_ended(tmp_path: Path) -> None:
    async with http(tmp_path, rhythm=replace(QUICK, beat_every=3600)) as api:
        one, about = await made(api, "reader")
        ledger = api.center.registry.get("default")
        await publish(api, "a")
        poll = asyncio.create_task(one("GET", f"{NS}/news?after={ledger.state.position}"))
        await until(lambda: len(ledger.watchers))

        await api("DELETE", f"/v1/tokens/{about['id']}")
        await publish(api, "b")

        assert (await poll)[0] == 401


async def test_what_is_asked_for_a_token_is_checked(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        api.center.service.tokens.clock_ms = lambda: 1_700_000_000_000  # 2023
        for asked, words in (
            ({"ttl": 0}, "ttl"),
            ({"ttl": 60, "expires_at": "2030-01-01T00:00:00Z"}, "not both"),
            ({"expires_at": "2030-01-01T00:00:00"}, "with its zone"),
            ({"expires_at": "tomorrow"}, "with its zone"),
            ({"expires_at": "2001-01-01T00:00:00Z"}, "lies ahead"),
            ({"expires_at": "9999-12-31T23:59:59-12:00"}, "lies ahead"),
            ({"name": "a\nb"}, "printable"),
            ({"role": "owner"}, "a role is one of"),
            ({"scopes": [{"namespace": "default", "prefix": "*"}]}, "no wildcards"),
            ({"scopes": [{"name": "default"}]}, "scopes"),
            ({"role": "instance", "instance": "gw", "scopes": PREFIXED}, "leave the prefix away"),
        ):
            body = {"name": "t", "role": "reader", **asked}
            status, told, _ = await api("POST", "/v1/tokens", body)
            assert status == 400, asked
            assert words in told["detail"], told
        ahead = "2030-01-01T00:00:00+08:00"
        _, about = await made(api, "reader", expires_at=ahead)
        assert about["expires_at"] == "2029-12-31T16:00:00.000Z"
        assert (about["created_by"], about["last_used_at"]) == ("admin", None)


async def test_a_report_by_redis_is_heard_only_where_its_token_reaches(tmp_path: Path) -> None:
    """Signed by a token of another namespace, or one that expired, it is nobody's."""
    async with http(tmp_path) as api:
        service = api.center.service
        space, now = service.spaces["default"], service.tokens.clock_ms()
        abouts = {
            "elsewhere": {"namespaces": ["other"]},
            "short": {"ttl": 60},
            "here": {"namespaces": ["default"]},
        }
        frames = []
        for name, about in abouts.items():
            one, _ = await made(api, "instance", instance=name, **about)
            report = Report(name, "i", 1, now, "default", {"position": "1-1"})
            frames.append((name, report.encode(report_key(str(one.token)))))

        async def read_reports(ns: str, cursors: Any) -> Any:
            return frames, cursors

        service.reports._clock_ms = lambda: now + 100_000
        service.registry.store.read_reports = read_reports  # type: ignore[method-assign]
        await service.reports.read_once(space)

        assert [i["instance"] for i in service.instances("default", 10, None)["items"]] == ["here"]
