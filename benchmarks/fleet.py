"""
1,000 clients in four processes over Redis, each with its own directory and token: how fast a
rollback reaches them, what they cost while nothing happens, whether they stay while the center is
away.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio as redis

from benchmarks.measure import Line, percentile
from benchmarks.processes import (
    Listener,
    Running,
    center_process,
    listener,
    redis_server,
    stop,
    workplace,
)

_PROCESSES, _EACH, _PUTS = 4, 250, 20
_QUIET = 3.0  # seconds in which the reports of the change before arrive
_ROLLBACK, _SHARE = 1.0, 0.05  # seconds; of a core


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, each = max(2, round(_PUTS * size)), max(2, round(_EACH * min(1.0, size)))
    clients, seconds = _PROCESSES * each, max(1.0, 60 * size)
    with workplace() as home:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(redis_server(home / "redis"))
            arguments = ("--redis", store.url)
            center = await stack.enter_async_context(center_process(home / "center", *arguments))
            session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    center.url, headers={"Authorization": f"Bearer {center.token}"}
                )
            )
            await _put(session, 0)
            members = [
                await stack.enter_async_context(member)
                for member in await _members(session, home, store.url, each)
            ]
            took = await _rollbacks(session, members, rounds)
            for share, name in ((0.5, "p50"), (0.99, "p99"), (1.0, "the last")):
                found = percentile(took, share)
                bound = _ROLLBACK if name == "p99" else None
                yield _bounded(f"rollback -> {clients:,} clients, {name}", found, "s", bound)
            pids = {"center": center.process.pid, "Redis": store.process.pid}
            for name, share in (await _idle(seconds, pids)).items():
                yield _bounded(f"idle fleet of {clients:,}, {name}", share, "core", _SHARE)
            client = redis.Redis.from_url(store.url)
            stack.push_async_callback(client.aclose)
            before = await _listening(client)
            await stop(center.process)
            await asyncio.sleep(seconds)
            new = len(await _listening(client) - before)
            yield Line("fleet", f"reconnects, center away {seconds:.0f} s", new, 0, "-", "", new, 0)


async def _listening(client: redis.Redis) -> set[str]:
    """Every connection that is subscribed."""
    return {one["id"] for one in await client.client_list(_type="pubsub")}


def _bounded(what: str, found: float, unit: str, bound: float | None) -> Line:
    against = bound or found
    return Line("fleet", what, found, against, "the bound", unit, found / against, bound and 1.0)


async def _members(session: aiohttp.ClientSession, home: Path, url: str, each: int) -> list[Any]:
    trust = str(home / "center" / "data" / "trust.json")
    made = []
    for number in range(_PROCESSES):
        tokens = home / f"tokens-{number}"
        names = [f"fleet-{number}-{at}" for at in range(each)]
        pairs = [f"{name} {await _token(session, name)}" for name in names]
        tokens.write_text("\n".join(pairs))
        made.append(listener("fleet", url, trust, str(home / f"state-{number}"), str(tokens)))
    return made


def _session(center: Running) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {center.token}"}
    return aiohttp.ClientSession(center.url, headers=headers)


async def _token(session: aiohttp.ClientSession, instance: str) -> str:
    about = {"name": instance, "role": "instance", "instance": instance}
    async with session.post("/v1/tokens", json=about) as response:
        assert response.status in (200, 201), await response.text()
        return str((await response.json())["token"])


async def _put(session: aiohttp.ClientSession, number: int) -> None:
    async with session.put("/v1/namespaces/default/keys/number", json={"value": number}) as answer:
        assert answer.status == 200, await answer.text()


async def _rollbacks(
    session: aiohttp.ClientSession, members: list[Listener], rounds: int
) -> list[float]:
    """Seconds from the request of a rollback to the function of each client."""
    took = []
    for number in range(1, rounds + 1):
        await _put(session, number)
        await asyncio.gather(*(member.heard_by_all(number) for member in members))
        await asyncio.sleep(_QUIET)
        began = time.monotonic_ns()
        path = "/v1/namespaces/default/keys/number/rollback"
        async with session.post(path, json={"to": 1}) as answer:
            assert answer.status == 200, await answer.text()
        heard = await asyncio.gather(*(member.heard_by_all(0) for member in members))
        took += [(at - began) / 1e9 for times in heard for at in times]
    return took


async def _idle(seconds: float, pids: dict[str, int]) -> dict[str, float]:
    """The share of a core that each process takes."""
    before = {name: _cpu(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    return {name: (_cpu(pid) - before[name]) / seconds for name, pid in pids.items()}


def _cpu(pid: int) -> float:
    """Seconds of processor time until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
