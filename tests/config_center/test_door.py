"""Who is let in by a real center: 429, 503, and that nobody who is in is thrown out."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import aiohttp
import pytest

from client_sdk import Client
from client_sdk.route import Pace
from tests.config_center.api.world import NS, center, http
from tests.config_center.test_reports import instance as token_of
from tests.until import until

WATCH = f"{NS}/watch?as=records"


async def test_a_client_that_comes_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    limits = {"admission.client_burst": 2, "admission.client_rate": 0.01}
    async with http(tmp_path, **limits) as call:
        statuses = [(await call("GET", f"{NS}/snapshot"))[0] for _ in range(2)]
        status, problem, headers = await call("GET", f"{NS}/snapshot")
        plain, _, _ = await call("GET", f"{NS}/keys")
        _, metrics, _ = await call("GET", "/metrics")

    assert statuses == [200, 200]
    assert status == 429
    assert problem["type"] == "urn:config-center:problem:too-many-requests"
    assert headers["Retry-After"] == str(problem["seconds"])
    assert 50 < problem["seconds"] <= 100  # less what passed since the first
    assert plain == 200
    assert b'config_center_problems_total{type="too-many-requests"} 1.0' in metrics


async def test_wrong_tokens_are_refused_faster_and_a_right_one_from_there_is_not(
    tmp_path: Path,
) -> None:
    limits = {"admission.wrong_token_burst": 3, "admission.wrong_token_rate": 0.01}
    async with http(tmp_path, **limits) as call:
        wrong = call.with_token("cc_" + "A" * 43)
        statuses = [(await wrong("GET", "/v1/whoami"))[0] for _ in range(5)]
        _, problem, headers = await wrong("GET", "/v1/whoami")

        assert statuses[:3] == [401, 401, 401]
        assert statuses[3:] == [429, 429]
        assert "tokens" in problem["detail"]
        assert 50 < int(headers["Retry-After"]) <= 100
        assert (await call("GET", "/v1/whoami"))[0] == 200


async def test_behind_a_proxy_wrong_tokens_count_for_whom_the_proxy_saw(tmp_path: Path) -> None:
    limits = {"admission.wrong_token_burst": 1, "admission.wrong_token_rate": 0.01}
    async with http(tmp_path, behind_proxy=True, **limits) as call:
        wrong = call.with_token("cc_" + "A" * 43)

        async def come(seen: str) -> int:
            return (await wrong("GET", "/v1/whoami", **{"X-Forwarded-For": seen}))[0]

        assert [await come("9.9.9.9, 10.0.0.1"), await come("8.8.8.8, 10.0.0.1")] == [401, 429]
        assert await come("9.9.9.9, 10.0.0.2") == 401


async def test_streams_above_the_bound_wait_and_those_that_are_in_go_on(tmp_path: Path) -> None:
    async with http(tmp_path, **{"admission.watches": 1}) as call:
        token = await token_of(call, "gw-1")
        trust = str(tmp_path / "trust.json")
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {call.token}"}) as session,
            session.get(call.url + WATCH) as first,
        ):
            assert first.status == 200
            status, problem, headers = await call("GET", WATCH)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert problem["type"] == "urn:config-center:problem:busy"
            await call("PUT", f"{NS}/keys/k", {"value": 1})
            async with asyncio.timeout(30.0):
                while not (line := await first.content.readline()).startswith(b"event: record"):
                    assert line, "the stream ended"

        await until(lambda: not len(call.center.service.ledger("default").watchers))
        async with Client.connect(
            call.url, instance="gw-1", state=tmp_path / "gw", trust=trust, token=token, timeout=10.0
        ) as client:
            assert client.get("k") == 1
            fleet = call.center.service.instances
            await until(lambda: fleet("default", 10, None)["items"])


async def test_reports_pass_whatever_else_is_refused(tmp_path: Path) -> None:
    limits = {"admission.client_burst": 1, "admission.client_rate": 0.01}
    async with http(tmp_path, **limits) as call:
        token = await token_of(call, "gw-1")
        one = call.with_token(token)
        assert (await one("GET", f"{NS}/snapshot"))[0] == 200
        assert (await one("GET", f"{NS}/snapshot"))[0] == 429

        refused = {(await one("POST", f"{NS}/reports", raw=b"noise"))[0] for _ in range(100)}

        assert refused == {400}


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("config_center.api.context.HEAD_WITHIN", 0.3)
    async with http(tmp_path) as call:
        host, port = call.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT {NS}/keys/k HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {call.token}\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(30.0):
            with contextlib.suppress(ConnectionError):
                said = await reader.read()
        writer.close()

    assert said.startswith(b"HTTP/1.1 408")
    assert b"urn:config-center:problem:request-timeout" in said


@pytest.mark.no_cover
@pytest.mark.timeout(280)
async def test_a_fleet_whose_center_was_restarted_is_back_within_seconds(tmp_path: Path) -> None:
    """Sixty clients, and limits so low that most are refused first: they spread, and come."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    limits = {"admission.rate": 40, "admission.burst": 10}
    data, pace = tmp_path / "data", Pace(base=0.2, cap=1.0)
    async with contextlib.AsyncExitStack() as clients:
        async with http(data) as call:
            listen = call.url.removeprefix("http://")
            token = await token_of(call, "gw-1")
            await call("PUT", f"{NS}/keys/k", {"value": 1})
            trust = str(data / "trust.json")
            connecting = [
                Client.connect(
                    call.url, instance=f"gw-{n}", state=tmp_path / f"gw-{n}", token=token,
                    trust=trust, timeout=60.0, pace=pace,
                )
                for n in range(60)
            ]  # fmt: skip
            there = await asyncio.gather(*map(clients.enter_async_context, connecting))
        await until(lambda: all(client.status().transport is None for client in there))
        began = asyncio.get_running_loop().time()
        async with center(data, listen=listen, **limits) as again:
            connected = lambda: all(c.status().transport for c in there)  # noqa: E731
            await until(connected, within=60.0)
            seconds = asyncio.get_running_loop().time() - began
            refused = again._metrics._problems.labels("too-many-requests")._value.get()
    print(f"60 clients are back after {seconds:.1f} s, {refused:.0f} were refused first")

    # Where the machine is so busy that they come more slowly than the rate, nobody is refused.
    assert refused > 0 or seconds > (60 - 10) / 40
    assert seconds < 45.0  # alone it is three


async def test_whoever_listens_to_a_center_that_ends_is_let_go_and_not_waited_for(
    tmp_path: Path,
) -> None:
    async with contextlib.AsyncExitStack() as running, aiohttp.ClientSession() as session:
        opened = await running.enter_async_context(center(tmp_path))
        token = {"Authorization": f"Bearer {opened.admin_token}"}
        async with session.get(opened.url + WATCH, headers=token) as stream:
            await stream.content.readuntil(b"\n\n")
            rest = asyncio.create_task(stream.read())

            await running.aclose()

            await rest  # one that was cut has no end, which is an error
