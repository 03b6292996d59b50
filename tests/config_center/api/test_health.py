"""`GET /v1/health/checks` of a real center."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_sdk.reports import Report, report_key
from config_center.examining import Examiner
from tests.config_center.api.world import NS, http
from tests.config_center.test_reports import instance as token_of
from tests.until import until


async def test_a_fit_center_says_so_and_why(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        status, found, _ = await call("GET", "/v1/health/checks")
        await until(
            lambda: b"config_center_checks{" in call.center._metrics.render(call.center.service)
        )

    assert status == 200
    assert found["fit"] is True
    subjects = {check["subject"] for check in found["checks"]}
    assert subjects >= {"keys", "files", "disk", "server", "durability", "journal", "namespaces"}
    assert {check["level"] for check in found["checks"]} <= {"ok", "warn"}


async def test_a_frozen_center_is_ready_and_fit_and_says_who_froze_it_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Examiner, "start", lambda self: None)  # its first look may come late
    async with http(tmp_path) as call:

        async def seen() -> tuple[list[str], bytes]:
            _, found, _ = await call("GET", "/v1/health/checks")
            assert found["fit"] is True
            assert (await call("GET", "/readyz"))[0] == 200
            await Examiner(call.center.settings, call.center.service, call.center._metrics).look()
            _, metrics, _ = await call("GET", "/metrics")
            told = [c for c in found["checks"] if c["subject"] == "freeze"]
            return [f"{c['level']} {c['sentence']}" for c in told], metrics

        before, free = await seen()
        await call("POST", f"{NS}/freeze", {"reason": "incident 4711"})
        await call("POST", "/v1/freeze", {"reason": "fire"})
        during, frozen = await seen()
        await call("POST", "/v1/unfreeze", {})
        after, part = await seen()

    assert before == ["ok nothing is frozen"]
    assert len(during) == 2
    assert during[0].startswith("warn the whole center is frozen since ")
    assert during[0].endswith(" by admin: fire")
    assert during[1].startswith("warn default is frozen since ")
    assert len(after) == 1
    for metrics, center, default in ((free, 0, 0), (frozen, 1, 1), (part, 0, 1)):
        assert f'config_center_frozen{{namespace="_system"}} {center}.0'.encode() in metrics
        assert f'config_center_frozen{{namespace="default"}} {default}.0'.encode() in metrics
        warned = center + default
        labels = 'level="warn",subject="freeze"'
        assert f"config_center_checks{{{labels}}} {warned}.0".encode() in metrics


async def test_a_client_that_refuses_makes_it_unfit(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        token = await token_of(call, "gw-1")
        keys = {"llm@canary": {"version": 2, "state": "refused", "reason": "no such model"}}
        body = {"full": True, "keys": keys, "stale": True, "position": "1-1"}
        frame = Report("gw-1", "inc", 1, 1_700_000_000_000, "default", body)
        raw = frame.encode(report_key(token))
        assert (await call.with_token(token)("POST", f"{NS}/reports", raw=raw))[0] == 202

        _, found, _ = await call("GET", "/v1/health/checks")
        _, metrics, _ = await call("GET", "/metrics")

    assert found["fit"] is False
    (bad,) = [check for check in found["checks"] if check["level"] == "fail"]
    assert bad["sentence"] == "gw-1 refuse llm in default"
    labels = 'namespace="default",state="refusing"'
    assert f"config_center_instances_troubled{{{labels}}} 1.0".encode() in metrics
    assert b'config_center_reports_total{outcome="taken"} 1.0' in metrics
