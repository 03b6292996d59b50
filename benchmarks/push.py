"""From sending to the callback in another process, in microseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio as redis

from benchmarks.measure import Line, compared
from benchmarks.processes import (
    Listener,
    center_process,
    etcd_server,
    listener,
    redis_server,
    workplace,
)
from config_center.access import Actor
from config_center.center import Center
from config_center.publishing import Put
from config_center.settings import load

_ADMIN = Actor("bench", "admin")
_PAYLOAD = 190  # bytes, as a small prompt

Send = Callable[[int], Awaitable[int]]  # sends a number, gives the moment it began


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, each = max(2, round(7 * size)), max(5, round(60 * size))
    with workplace() as home:
        async for line in _script(home, rounds, each):
            yield line
        async for line in _http(home, rounds, each):
            yield line


async def _script(home: Path, rounds: int, each: int) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        url, trust, center = await center_over_redis(stack, home)
        sdk = await stack.enter_async_context(listener("sdk", url, trust, str(home / "state"), ""))
        bare = await stack.enter_async_context(listener("pubsub", url))
        client = redis.Redis.from_url(url)
        stack.push_async_callback(client.aclose)
        ours, theirs = await _in_turns(
            rounds, each, (sdk, commit(center)), (bare, set_and_publish(client))
        )
        yield compared(
            "push", "commit script -> verified callback, p50", ours, theirs,
            "SET + PUBLISH, same fsync", "us", 3.0,
        )  # fmt: skip


async def center_over_redis(stack: AsyncExitStack, home: Path) -> tuple[str, str, Center]:
    """A center in this process on a server of its own: the server's URL, whom to trust, it."""
    url = (await stack.enter_async_context(redis_server(home / "redis"))).url
    settings = load({"listen": "127.0.0.1:0", "data": home / "center", "redis": url}, {}).settings
    center = await stack.enter_async_context(Center(settings))
    return url, str(home / "center" / "trust.json"), center


def commit(center: Center) -> Send:
    """A publish whose clock starts when its script is sent: what is before is the HTTP line's."""
    store: Any = center.registry.get("default").store
    real, moments = store.commit, [0]

    async def timed(*arguments: Any, **options: Any) -> Any:
        moments[0] = time.monotonic_ns()
        return await real(*arguments, **options)

    store.commit = timed

    async def send(number: int) -> int:
        await center.service.put("default", "number", Put(value=number), _ADMIN)
        return moments[0]

    return send


def set_and_publish(client: redis.Redis) -> Send:
    """What there is to do at the least; an answer means fsynced."""

    async def send(number: int) -> int:
        text = f"{number:12d}".ljust(_PAYLOAD)
        began = time.monotonic_ns()
        pipe = client.pipeline(transaction=False)
        pipe.set("bench", text)
        pipe.publish("bench", text)
        await pipe.execute()
        return began

    return send


async def _http(home: Path, rounds: int, each: int) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(etcd_server(home / "etcd"))
        if port is None:
            return
        import aetcd  # type: ignore[import-untyped]  # it has no py.typed

        store = (await stack.enter_async_context(redis_server(home / "http-redis"))).url
        process = center_process(home / "http", "--redis", store)
        center = await stack.enter_async_context(process)
        trust = str(home / "http" / "data" / "trust.json")
        sdk = await stack.enter_async_context(
            listener("sdk", store, trust, str(home / "http-state"), "")
        )
        watch = await stack.enter_async_context(listener("etcd", str(port)))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {center.token}"})
        )
        etcd = await stack.enter_async_context(aetcd.Client(port=port))
        ours, theirs = await _in_turns(
            rounds, each, (sdk, _put_by_http(session, center.url)), (watch, _put_to_etcd(etcd))
        )
        yield compared(
            "push", "HTTP PUT -> verified callback, p50", ours, theirs,
            "etcd put -> watch", "us", 1.5,
        )  # fmt: skip


def _put_by_http(session: aiohttp.ClientSession, url: str) -> Send:
    async def send(number: int) -> int:
        began = time.monotonic_ns()
        async with session.put(
            f"{url}/v1/namespaces/default/keys/number", json={"value": number}
        ) as response:
            assert response.status == 200, await response.text()
            await response.read()
        return began

    return send


def _put_to_etcd(client: Any) -> Send:
    async def send(number: int) -> int:
        began = time.monotonic_ns()
        await client.put(b"number", f"{number:12d}".ljust(_PAYLOAD).encode())
        return began

    return send


async def _in_turns(
    rounds: int, each: int, one: tuple[Listener, Send], other: tuple[Listener, Send]
) -> tuple[list[float], list[float]]:
    """The median of every round, in microseconds; one round of each to warm up is thrown away."""
    number = 0
    medians: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for (hears, send), found in zip((one, other), medians, strict=True):
            took = []
            for _ in range(each):
                number += 1
                began = await send(number)
                took.append((await hears.heard(number) - began) / 1000)
            if turn:
                found.append(statistics.median(took))
    return medians
