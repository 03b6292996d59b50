"""Changes per second: 50 writers over HTTP on one namespace, beside 50 writers on etcd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from benchmarks.measure import Line, compared
from benchmarks.processes import center_process, etcd_server, workplace

_WRITERS = 50
_PAYLOAD = "x" * 190

Write = Callable[[int, int], Awaitable[None]]  # writer, number


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, seconds = max(2, round(5 * size)), max(0.3, 3.0 * size)
    with workplace() as home:
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(etcd_server(home / "etcd"))
            if port is None:
                return
            import aetcd  # type: ignore[import-untyped]  # it has no py.typed

            center = await stack.enter_async_context(center_process(home / "center"))
            url, token = center.url, center.token
            headers = {"Authorization": f"Bearer {token}"}
            connector = aiohttp.TCPConnector(limit=_WRITERS)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers=headers, connector=connector)
            )
            client = await stack.enter_async_context(aetcd.Client(port=port))
            ours, theirs = [], []
            for turn in range(rounds + 1):
                one = await per_second(by_http(session, url), seconds)
                other = await per_second(to_etcd(client), seconds)
                if turn:
                    ours.append(one)
                    theirs.append(other)
            yield compared(
                "write", "50 writers, changes by HTTP", ours, theirs, "etcd put, 50 writers",
                "1/s", 1.0, at_least=True,
            )  # fmt: skip


async def per_second(write: Write, seconds: float) -> float:
    """How often 50 writers, each waiting for its answer, get done in a second."""
    end = time.perf_counter() + seconds

    async def writer(name: int) -> int:
        number = 0
        while time.perf_counter() < end:
            await write(name, number)
            number += 1
        return number

    began = time.perf_counter()
    counts = await asyncio.gather(*(writer(name) for name in range(_WRITERS)))
    return sum(counts) / (time.perf_counter() - began)


def by_http(session: aiohttp.ClientSession, url: str) -> Write:
    """A publish through the API."""

    async def write(name: int, number: int) -> None:
        target = f"{url}/v1/namespaces/default/keys/k{name}"
        async with session.put(target, json={"value": f"{number} {_PAYLOAD}"}) as response:
            await response.read()
            assert response.status == 200

    return write


def to_etcd(client: Any) -> Write:
    """The peer's put."""

    async def write(name: int, number: int) -> None:
        await client.put(f"k{name}".encode(), f"{number} {_PAYLOAD}".encode())

    return write
