"""What instances say of themselves reaches the center by either path, and is judged."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson
import redis.asyncio as redis

from client_sdk import Client
from client_sdk.reports import Report, report_key
from tests.config_center.api.world import NS, Http, http
from tests.history import History, put
from tests.redis_server import running
from tests.until import until


async def instance(call: Http, name: str) -> str:
    about = {"name": name, "role": "instance", "instance": name}
    _, made, _ = await call("POST", "/v1/tokens", about)
    return str(made["token"])


async def test_an_instance_that_reads_the_store_reports_through_it(tmp_path: Path) -> None:
    with running() as server:
        async with http(tmp_path / "data", redis=server.url) as call:
            await call("PUT", f"{NS}/keys/prompt", {"value": "hi"})
            token = await instance(call, "gw-1")
            trust = str(tmp_path / "data" / "trust.json")
            async with Client.connect(
                server.url, instance="gw-1", state=tmp_path / "gw", trust=trust, token=token
            ) as client:
                assert client.get("prompt") == "hi"
                fleet = call.center.service.instances
                await until(lambda: fleet("default", 10, None)["items"])
                (row,) = fleet("default", 10, None)["items"]

    assert (row["instance"], row["transport"]) == ("gw-1", "redis")
    assert row["keys"]["prompt"]["state"] == "applied"


async def test_the_record_in_a_complaint_is_evidence_and_noise_in_it_is_not(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        token = await instance(call, "gw-1")
        ledger = call.center.registry.get("default")
        other = History("default", ledger.key)
        other.state = ledger.state
        beyond = other.add(put("k", "unseen"))

        async def complain(seq: int, head: object) -> int:
            body = {"full": True, "complaint": {"reason": "behind", "head": head}}
            frame = Report("gw-1", "i", seq, 1_700_000_000_000, "default", body)
            raw = frame.encode(report_key(token))
            kind = {"Content-Type": "application/octet-stream"}
            me = call.with_token(token)
            return (await me("POST", f"{NS}/reports", raw=raw, **kind))[0]

        noise = [await complain(n, head) for n, head in enumerate((None, 7, "x", "AAAA"), 1)]
        assert (noise, ledger.heard) == ([202] * 4, {})
        await complain(9, base64.b64encode(beyond.encode(bodies=False)).decode())

        await until(lambda: ledger.mode.value == "history-incomplete")
        refused, problem, _ = await call("PUT", f"{NS}/keys/k", {"value": 1})
        accepted = {"accept_loss": True, "comment": "its disk burnt"}
        status, about, _ = await call("POST", f"{NS}/restore", accepted)
        entries = (await call("GET", "/v1/audit"))[1]["items"]
        head = ledger.head
        after, _, _ = await call("PUT", f"{NS}/keys/k", {"value": 1})

    assert (refused, problem["type"].rpartition(":")[2]) == (503, "history-incomplete")
    assert "gw-1" in problem["detail"]
    assert (status, after) == (200, 200)
    assert "seen by gw-1" in about["lost"][0]
    assert head is not None
    assert (head.header.author, head.header.comment) == ("admin", "its disk burnt")
    assert head.header.request in {entry.get("request") for entry in entries}
    assert int(about["position"].partition("-")[0]) > beyond.position.e


async def test_what_one_instance_makes_up_costs_the_others_nothing(tmp_path: Path) -> None:
    """Over the store nobody has looked at a report before the center does."""
    nonsense = [
        {"devices": {"rows": 5, "gone": [[1], {}]}},
        {"devices": {"rows": "abc", "gone": 7}, "keys": {"k": {"state": {}}}},
        {"complaint": {"reason": 1, "head": _headed(origin=[])}},
    ]
    with running() as server:
        async with http(tmp_path / "data", redis=server.url) as call:
            async with redis.Redis.from_url(server.url) as raw:
                for name, bodies in (("bad", nonsense), ("good", [{"position": "1-1"}])):
                    key = report_key(await instance(call, name))
                    for seq, body in enumerate(bodies, 1):
                        frame = Report(name, "i", seq, 1, "default", body).encode(key)
                        await raw.xadd(f"cc:{{default}}:rep:{name}", {"r": frame})
            service = call.center.service
            await service.reports.read_once(service.spaces["default"])
            rows = service.instances("default", 10, None)["items"]

    assert [row["instance"] for row in rows] == ["bad", "good"]


def _headed(**fields: object) -> str:
    """A frame whose header says what no center would."""
    history = History()
    frame, header = history.head.encode(), orjson.loads(history.head.raw)
    raw = orjson.dumps({**header, **fields})
    start = frame.index(history.head.raw)
    rest = frame[start + len(history.head.raw) :]
    made = frame[: start - 4] + len(raw).to_bytes(4, "big") + raw + rest
    return base64.b64encode(made).decode()
