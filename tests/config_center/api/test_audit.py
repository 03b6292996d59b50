"""GET /v1/audit: who may read it, what can be asked for, and exports."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client_sdk.signing import Verifier
from config_center.audit.entries import Entry
from config_center.audit.pages import examine
from tests.config_center.api.world import NS, Http, http

KEYS = f"{NS}/keys"


async def raw(api: Http, query: str) -> tuple[int, list[bytes]]:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{api.url}/v1/audit?format=ndjson{query}") as response,
    ):
        return response.status, (await response.read()).splitlines(keepends=True)


async def items(api: Http, query: str = "") -> list[dict[str, Any]]:
    status, page, _ = await api("GET", f"/v1/audit?{query}")
    assert status == 200, page
    found: list[dict[str, Any]] = page["items"]
    return found


async def test_only_an_admin_reads_it(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for role in ("reader", "publisher", "approver", "operator"):
            _, made, _ = await api("POST", "/v1/tokens", {"name": role, "role": role})
            assert (await api.with_token(made["token"])("GET", "/v1/audit"))[0] == 403
        assert (await api("GET", "/v1/audit"))[0] == 200


async def test_it_is_asked_by_namespace_actor_key_outcome_and_time(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", "/v1/namespaces/other")
        await api("PUT", f"{KEYS}/a", {"value": 1})
        await api("PUT", f"{KEYS}/b", {"value": 1}, **{"If-Match": '"7"'})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "ci", "role": "publisher"})
        await api.with_token(made["token"])("PUT", "/v1/namespaces/other/keys/a", {"value": 1})

        async def routes(query: str) -> list[tuple[str, str]]:
            return [(i.get("route", ""), i.get("namespace", "")) for i in await items(api, query)]

        assert await routes("namespace=other") == [("put_key", "other"), ("put_namespace", "other")]
        assert await routes("actor=ci") == await routes(f"actor={made['id']}")
        assert await routes("key=a") == [("put_key", "other"), ("put_key", "default")]
        assert await routes("outcome=refused") == [("put_key", "default")]
        assert await routes("key=a&namespace=default&outcome=accepted") == [("put_key", "default")]
        assert await routes("since=2999-01-01") == await routes("until=2000-01-01T00:00:00Z") == []
        assert len(await routes("since=2000-01-01&until=2999-01-01T00:00:00%2B08:00")) == 8


async def test_pages_are_followed_by_their_cursor_to_the_first_entry(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for n in range(5):
            await api("PUT", f"{KEYS}/a", {"value": n})
        seen, query = [], "limit=3"
        while True:
            _, page, _ = await api("GET", f"/v1/audit?{query}")
            seen += [item["n"] for item in page["items"]]
            if page["next"] is None:
                break
            query = f"limit=3&after={page['next']}"

    assert seen == list(range(8, 0, -1))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("outcome=maybe", "outcome"),
        ("since=yesterday", "since"),
        ("until=", "until"),
        ("format=xml", "format"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("keys=a", "keys"),
    ],
)
async def test_a_question_that_cannot_be_understood_says_so(
    tmp_path: Path, query: str, parameter: str
) -> None:
    async with http(tmp_path) as api:
        status, problem, _ = await api("GET", f"/v1/audit?{query}")

    assert (status, problem["parameter"]) == (400, parameter)


async def test_an_export_proves_itself_with_the_trust_list_alone(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        audit = api.center.service.audit
        await asyncio.gather(*(audit.record(Entry(at=n, outcome="accepted")) for n in range(1200)))
        _, whole = await raw(api, "")
        _, part = await raw(api, "&after=1000")
        verifier = Verifier(api.center.registry.verifier.trust)

    assert len(whole) == 1203 + 2
    assert (examine(whole, verifier).broken, examine(whole, verifier).count) == ("", 1203)
    assert (examine(part, verifier).broken, examine(part, verifier).after) == ("", 1000)
    assert "not finished" in examine(whole[:-1], verifier).broken
    assert "were cut off" in examine([*whole[:900], whole[-1]], verifier).broken


async def test_what_was_chosen_by_a_filter_is_an_excerpt_and_no_proof(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/a", {"value": 1})
        status, lines = await raw(api, "&key=a")
        beyond, _ = await raw(api, "&after=99")

    assert (status, len(lines), b'"excerpt":true' in lines[0]) == (200, 2, True)
    assert beyond == 404


async def test_exports_at_once_are_bounded(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        reading = api.center.service.audit.reading
        async with reading._exports, reading._exports:
            status, problem, headers = await api("GET", "/v1/audit?format=ndjson")
        assert (status, headers["Retry-After"]) == (503, "5")
        assert problem["type"].endswith("busy")
        assert (await raw(api, ""))[0] == 200


async def test_an_entry_that_somebody_edited_does_not_stop_the_list(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        with closing(sqlite3.connect(tmp_path / "audit.sqlite3", isolation_level=None)) as db:
            db.execute("UPDATE entries SET raw = 'noise' WHERE n = 2")
        found = await items(api)
        _, health, _ = await api("GET", "/v1/health/checks")
        with closing(sqlite3.connect(tmp_path / "audit.sqlite3", isolation_level=None)) as db:
            db.execute("DELETE FROM seal")
        _, worse, _ = await api("GET", "/v1/health/checks")

    assert [item["event"] for item in found] == ["noted", "unreadable", "begun"]
    levels = [
        [c["level"] for c in each["checks"] if c["subject"] == "audit"] for each in (health, worse)
    ]
    assert levels == [["ok"], ["fail"]]
