"""`GET /v1/health/checks` of a real center."""

from __future__ import annotations

from pathlib import Path

from client_sdk.reports import Report, report_key
from tests.config_center.api.world import NS, http
from tests.config_center.test_reports import instance as token_of


async def test_a_fit_center_says_so_and_why(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        status, found, _ = await call("GET", "/v1/health/checks")

    assert status == 200
    assert found["fit"] is True
    subjects = {check["subject"] for check in found["checks"]}
    assert subjects >= {"keys", "files", "disk", "server", "durability", "journal", "namespaces"}
    assert {check["level"] for check in found["checks"]} <= {"ok", "warn"}


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
