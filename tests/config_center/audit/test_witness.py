"""What a real door tells the audit: who, what, when, from where, why, and what came of it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client_sdk.records import Record
from config_center.api import ROUTES
from config_center.api.audit import shown
from config_center.audit.book import Choice, newest, reader
from config_center.audit.tally import Tally
from config_center.audit.witness import is_change
from tests.config_center.api.test_recovery import SECRET
from tests.config_center.api.world import NS, Http, http
from tests.config_center.audit.test_audit import break_disk, mend_disk
from tests.config_center.audit.test_entries import FORGED
from tests.until import until

KEYS = f"{NS}/keys"


async def told(api: Http, **query: str) -> list[dict[str, Any]]:
    """The entries of calls, oldest first."""
    words = "&".join(f"{name}={value}" for name, value in {"limit": "1000", **query}.items())
    _, page, _ = await api("GET", f"/v1/audit?{words}")
    return [item for item in reversed(page["items"]) if item["event"] in ("call", "repeated")]


async def exported(api: Http) -> bytes:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{api.url}/v1/audit?format=ndjson") as response,
    ):
        return await response.read()


def without(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


async def test_r23_an_accepted_change_is_told_whole(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        body = {"value": 1, "comment": "shorter", "rollout": {"percent": 10}}
        await api("PUT", f"{KEYS}/prompt", {"value": 0})
        _, done, _ = await api("PUT", f"{KEYS}/prompt", body)
        _, entry = await told(api, key="prompt")
        header = api.center.registry.get("default").state

    assert without(entry, "n", "at", "hash", "token", "request") == {
        "event": "call", "outcome": "accepted", "actor": "admin", "role": "admin",
        "address": "127.0.0.1", "method": "PUT", "route": "put_key", "namespace": "default",
        "keys": ["prompt"], "asked": {"percent": 10}, "comment": "shorter", "status": 200,
        "change": done["change"], "position": f"{done['epoch']}-{done['revision']}",
    }  # fmt: skip
    assert str(header.position) == entry["position"]


async def test_the_signed_record_and_the_entry_name_the_same_request(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        records: list[Record] = []
        api.center.registry.get("default").observers.append(records.append)
        api.center.registry.system.observers.append(records.append)
        await api("PUT", f"{KEYS}/prompt", {"value": 0})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "ci", "role": "publisher"})
        await api("DELETE", f"/v1/tokens/{made['id']}")
        await api("PUT", "/v1/namespaces/other")
        await api("DELETE", "/v1/namespaces/other")
        entries = await told(api)

    assert [entry["route"] for entry in entries] == [
        *("put_key", "create_token", "revoke_token", "put_namespace", "delete_namespace"),
    ]
    requests = [entry["request"] for entry in entries]
    assert len(set(requests)) == 5
    assert {record.header.request for record in records} >= set(requests[:4])


async def test_r23_what_is_refused_is_told_with_its_reason(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/prompt", {"value": 1})
        await api("PUT", f"{KEYS}/prompt", {"value": 2, "comment": "stale"}, **{"If-Match": '"9"'})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "eyes", "role": "reader"})
        reader = api.with_token(made["token"])
        await reader("DELETE", f"{KEYS}/prompt?comment=mine")
        await reader("PUT", "/v1/namespaces/other")
        entries = await told(api, outcome="refused")

    moved, forbidden, also = entries
    assert (moved["problem"], moved["status"], moved["comment"], moved["keys"]) == (
        *("version-moved", 412, "stale", ["prompt"]),
    )
    assert "decide anew" in moved["detail"]
    assert (forbidden["actor"], forbidden["role"], forbidden["token"], forbidden["comment"]) == (
        *("eyes", "reader", made["id"], "mine"),
    )
    assert (forbidden["problem"], forbidden["keys"]) == ("forbidden", ["prompt"])
    assert (also["route"], also["namespace"]) == ("put_namespace", "other")
    assert all("change" not in entry and "position" not in entry for entry in entries)


async def test_whoever_was_not_let_in_is_told_whatever_he_asked_for(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        _, made, _ = await api(
            "POST", "/v1/tokens", {"name": "gw", "role": "instance", "instance": "gw-1",
                                   "namespaces": ["other"]},
        )  # fmt: skip
        instance = api.with_token(made["token"])
        await instance("GET", f"{KEYS}/prompt")
        await instance("GET", "/v1/tokens")
        await api.with_token("cc_wrong")("GET", f"{KEYS}/prompt")
        await api.with_token(None)("PUT", f"{KEYS}/prompt", {"value": 1})
        entries = await told(api, outcome="refused")

    words = [(e.get("actor"), e["problem"], e["route"], e.get("instance")) for e in entries]
    assert words == [
        ("gw", "not-found", "get_key", "gw-1"),
        ("gw", "forbidden", "list_tokens", "gw-1"),
        (None, "unauthorized", "get_key", None),
        (None, "unauthorized", "put_key", None),
    ]


async def test_reading_trying_and_reporting_are_not_in_it(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("GET", f"{KEYS}/none")
        await api("POST", f"{KEYS}/prompt/validate", {"value": 1})
        await api("POST", f"{NS}/reports", raw=b"noise")

        assert await told(api) == []


def test_every_route_that_changes_something_is_a_change() -> None:
    spared = {r.name for r in ROUTES if r.method != "GET" and not is_change(r)}

    assert spared == {"validate_key", "post_report"}
    told = [route.name for route in ROUTES if route.method == "GET" and is_change(route)]
    assert told == ["finish_login"], "which makes a token"


async def test_it_tells_which_rule_was_set_and_why_publishing_was_stopped(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        await api("PUT", f"{NS}/policy", {"two_person": True})
        await api("PUT", f"{NS}/policy?urgent=true", {"two_person": False, "comment": "alone"})
        await api("POST", f"{NS}/freeze", {"reason": "the provider burns"})
        *_, taken_away, freeze = await told(api)

    assert taken_away["asked"] == {"two_person": False, "urgent": "true"}
    assert freeze["comment"] == "the provider burns"


async def test_every_change_has_a_name_of_its_own(tmp_path: Path) -> None:
    """`step` and `abort` are one handler; who aborted is not to be looked up by position."""
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/a", {"value": 1})
        await api("PUT", f"{KEYS}/a", {"value": 2, "rollout": {"percent": 5}})
        await api("POST", f"{NS}/rollouts/a/step", {"percent": 50, "comment": "looks well"})
        await api("POST", f"{NS}/rollouts/a/abort", {"comment": "does not"})
        *_, step, abort = await told(api)

    assert (step["route"], step["asked"], step["keys"], step["subject"]) == (
        *("step_rollout", {"percent": 50}, ["a"], "a"),
    )
    assert (abort["route"], abort["comment"]) == ("abort_rollout", "does not")


async def test_a_flood_of_wrong_tokens_is_counted_and_not_written_one_by_one(
    tmp_path: Path,
) -> None:
    async with http(tmp_path) as api:
        wrong = api.with_token("cc_" + "A" * 43)
        await asyncio.gather(*(wrong("GET", "/v1/whoami") for _ in range(300)))
        entries = await told(api)
        audit = api.center.service.audit
        counted = sum(e.times for e in audit._tally.due(0.0, 0, everything=True))

    assert {entry["problem"] for entry in entries} == {"unauthorized", "too-many-requests"}
    assert len(entries) == 2
    assert len(entries) + counted == 300


@pytest.mark.parametrize("behind_proxy", [False, True])
async def test_the_forwarded_address_counts_only_where_a_proxy_was_promised(
    tmp_path: Path, behind_proxy: bool
) -> None:
    async with http(tmp_path, behind_proxy=behind_proxy) as api:
        forwarded = {"X-Forwarded-For": "6.6.6.6, 2001:db8::7"}
        await api("PUT", f"{KEYS}/prompt", {"value": 1}, **forwarded)
        (entry,) = await told(api)

    assert entry["address"] == ("2001:db8::7" if behind_proxy else "127.0.0.1")


async def test_the_proxys_own_line_counts_when_the_header_stands_twice(tmp_path: Path) -> None:
    async with http(tmp_path, behind_proxy=True) as api:
        host, port = api.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"DELETE {KEYS}/prompt HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.token}\r\n"
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n"
            .encode()
        )  # fmt: skip
        await reader.read()
        writer.close()
        (entry,) = await told(api)

    assert entry["address"] == "9.9.9.9"


async def test_a21_comment_and_token_name_cannot_forge_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "config_center.audit")
    forged = FORGED.replace("\ud800", "")
    async with http(tmp_path) as api:
        before = (await exported(api)).count(b"\n")
        refused, _, _ = await api("POST", "/v1/tokens", {"name": forged, "role": "publisher"})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "eve", "role": "publisher"})
        eve = api.with_token(made["token"])
        await eve("PUT", f"{KEYS}/prompt", {"value": 1, "comment": forged})
        await eve("PUT", f"{KEYS}/prompt", {"value": 1, "comment": forged}, **{"If-Match": '"9"'})
        export = await exported(api)
        entries = await told(api)

    text = export.decode("utf-8")
    assert refused == 400
    assert text.count("\n") == before + 4
    assert all(line.isprintable() for line in text.split("\n"))
    assert all(entry.get("comment", "").isprintable() for entry in entries)
    logged = [r.getMessage() for r in caplog.records if r.name.startswith("config_center.audit")]
    assert all(message.isprintable() for message in logged)


async def test_a22_a40_neither_value_nor_secret_nor_token_is_ever_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary goes in by every door there is, also by the wrong ones."""
    monkeypatch.setattr(Tally, "take", lambda *_: True)  # every refusal with all that it says
    seed = secrets.token_hex(8)
    print(f"canary {seed}")
    canary = f"canary-{seed}"
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/s/schema", SECRET)
        await api("PUT", f"{KEYS}/typed/schema", {"json_schema": {"type": "integer"}})
        for key in ("s", "plain", "typed", "llm"):
            await api("PUT", f"{KEYS}/{key}", {"value": canary})
            await api("PUT", f"{KEYS}/{key}", {"value": {"a": [canary]}})
            await api("PUT", f"{KEYS}/{key}", {"key": canary, "name": canary, "to": canary})
            await api("PUT", f"{KEYS}/{key}", {"value": 1, "rollout": {"percent": canary}})
            await api("PUT", f"{KEYS}/{key}", {"value": 1, canary: 1})
            await api("PUT", f"{KEYS}/{key}", canary)
            await api("PUT", f"{KEYS}/{key}?{canary}=1&percent={canary}&supersede={canary}")
            text = {"Content-Type": "text/plain"}
            await api("PUT", f"{KEYS}/{key}", raw=canary.encode(), **text)
            yaml = {"Content-Type": "application/yaml"}
            await api("PUT", f"{KEYS}/{key}", raw=f"a: '{canary}\n".encode(), **yaml)
            await api("PUT", f"{KEYS}/{key}", raw=f'{{"value": "{canary}'.encode())
        change = {"operations": [{"op": "put", "key": "plain", "value": canary}, {"key": [canary]}]}
        await api("POST", f"{NS}/changes", change)
        change = {"operations": [{"op": canary, "key": "plain", canary: 1}]}
        await api("POST", f"{NS}/changes", change)
        await api("POST", "/v1/tokens", {"name": "t", "role": canary})
        await api("POST", f"{KEYS}/plain/rollback", {"to": canary})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "t", "role": "admin"})
        await api.with_token(f"cc_{canary}")("PUT", f"{KEYS}/plain", {"value": 1})
        await api.with_token(canary)("GET", "/v1/whoami")
        await api("POST", f"{NS}/restore", raw=canary.encode(), **{
            "Content-Type": "application/octet-stream"})  # fmt: skip
        export, count = await exported(api), len(await told(api))
    kept = (tmp_path / "audit.sqlite3").read_bytes()

    assert count > 45
    for text in (canary, made["token"], api.token or ""):
        assert text.encode() not in export, text
        assert text.encode() not in kept, text


async def test_while_the_disk_refuses_nothing_is_changed_and_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config_center.audit.audit._AGAIN", 0.1)
    async with http(tmp_path) as api:
        audit = api.center.service.audit
        await api("PUT", f"{KEYS}/prompt", {"value": 1})
        await break_disk(audit)
        known = {"Idempotency-Key": "one"}
        unknown, problem, _ = await api("PUT", f"{KEYS}/prompt", {"value": 2}, **known)
        refused, why, headers = await api("PUT", f"{KEYS}/prompt", {"value": 3})
        read, value, _ = await api("GET", f"{KEYS}/prompt")
        _, health, _ = await api("GET", "/v1/health/checks")
        await mend_disk(audit)
        await until(lambda: not audit.down)
        again, done, _ = await api("PUT", f"{KEYS}/prompt", {"value": 2}, **known)
        entries = await told(api, outcome="accepted")
        _, metrics, _ = await api("GET", "/metrics")

    assert (unknown, problem["type"].rpartition(":")[2]) == (504, "outcome-unknown")
    assert (refused, why["type"].rpartition(":")[2]) == (507, "store-full")
    assert headers["Retry-After"] == "1"
    assert (read, value["latest"]) == (200, 2), "the one in flight took effect, the next did not"
    (check,) = [c for c in health["checks"] if c["subject"] == "audit" and c["level"] == "fail"]
    assert "no change is taken" in check["sentence"]
    assert (again, done["latest"]) == (200, 2)
    assert [entry["change"] for entry in entries[1:]] == [done["change"]] * 2
    assert b'config_center_audit_errors_total{kind="refused"} ' in metrics


async def test_a_bug_is_told_as_a_call_whose_outcome_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("sesame")

    async with http(tmp_path) as api:
        monkeypatch.setattr(api.center.service, "put", broken)
        status, _, _ = await api("PUT", f"{KEYS}/prompt", {"value": 1})
        await until(lambda: api.center.service.audit.written["unknown"] == 1)
        (entry,) = await told(api)

    assert (status, entry["status"], entry["outcome"]) == (500, 500, "unknown")
    assert "sesame" not in str(entry)


async def test_a_call_that_is_cut_off_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config_center.center._CLOSE_WITHIN", 0.1)
    entered = asyncio.Event()

    async def endless(*_: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    async with http(tmp_path) as api:
        monkeypatch.setattr(api.center.service, "put", endless)
        asking = asyncio.create_task(api("PUT", f"{KEYS}/prompt", {"value": 1}))
        await entered.wait()
        await api.center.__aexit__()
        await asyncio.gather(asking, return_exceptions=True)

    with closing(reader(tmp_path / "audit.sqlite3")) as db:
        (row,) = newest(db, Choice(outcome="unknown"), None, 10)
    assert shown(row)["detail"] == "no answer: the call was cut off"


async def test_what_a_loss_of_power_or_an_older_copy_took_is_found_in_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago: the journal is read from the newest entry of before this start."""
    monkeypatch.setattr("config_center.audit.audit._LOOKED_BACK", 0)
    file, copy = tmp_path / "audit.sqlite3", tmp_path / "copy"
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/prompt", {"value": 1})
    await asyncio.to_thread(shutil.copy, file, copy)
    async with http(tmp_path) as api:
        _, done, _ = await api("PUT", f"{KEYS}/prompt", {"value": 2, "comment": "why"})
        _, made, _ = await api("POST", "/v1/tokens", {"name": "eve", "role": "admin"})
        await api("DELETE", f"/v1/tokens/{made['id']}")
    await asyncio.to_thread(shutil.copy, copy, file)
    async with http(tmp_path) as api:
        _, page, _ = await api("GET", "/v1/audit")
    async with http(tmp_path) as api:
        _, again, _ = await api("GET", "/v1/audit")

    found = [item for item in reversed(page["items"]) if item["event"] == "found"]
    assert [item["namespace"] for item in found] == ["_system", "_system", "default"]
    change = found[2]
    assert (change["change"], change["actor"], change["comment"], change["keys"]) == (
        *(done["change"], "admin", "why", ["prompt"]),
    )
    assert [item for item in reversed(again["items"]) if item["event"] == "found"] == found
    assert "3 changes had no entry in the audit" in caplog.text


async def test_an_audit_that_was_taken_away_is_said_in_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with http(tmp_path) as api:
        await api("PUT", f"{KEYS}/prompt", {"value": 1})
    (tmp_path / "audit.sqlite3").unlink()
    async with http(tmp_path) as api:
        _, page, _ = await api("GET", "/v1/audit")

    told = [item["detail"] for item in page["items"] if item["event"] == "noted"]
    assert len(told) == 1
    assert re.fullmatch(r"the journal holds \d+ changes from before this audit began", told[0])
    assert told[0] in caplog.text
