"""``GET`` of a key, requests per second, beside a bare aiohttp handler with prebuilt bytes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.measure import Line, compared
from benchmarks.processes import center_process, free_port, process, workplace

_CLIENTS = 32
_BARE = """
import sys
from aiohttp import web
body = sys.argv[2].encode()
async def handler(request):
    return web.Response(body=body, content_type="application/json")
app = web.Application()
app.router.add_get("/v1/namespaces/default/keys/prompt", handler)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, seconds = max(2, round(7 * size)), max(0.3, 2.0 * size)
    path = "/v1/namespaces/default/keys/prompt"
    with workplace() as home:
        async with AsyncExitStack() as stack:
            center = await stack.enter_async_context(center_process(home / "center"))
            url, token = center.url, center.token
            headers = {"Authorization": f"Bearer {token}"}
            session = await stack.enter_async_context(
                aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))
            )
            value = {"value": "You are brief. " * 150}
            async with session.put(url + path, json=value) as response:
                assert response.status == 200, await response.text()
            async with session.get(url + path) as response:
                body = await response.text()
            port = free_port()
            bare = process(sys.executable, "-c", _BARE, str(port), body, log=home / "bare.log")
            await stack.enter_async_context(bare)
            other = f"http://127.0.0.1:{port}"
            await until_there(session, other + path)
            ours, theirs = [], []
            for turn in range(rounds + 1):
                one = await _per_second(session, url + path, seconds)
                two = await _per_second(session, other + path, seconds)
                if turn:
                    ours.append(one)
                    theirs.append(two)
            yield compared(
                "web", "GET of a key, 32 clients", ours, theirs, "bare aiohttp, same bytes",
                "1/s", 0.8, at_least=True,
            )  # fmt: skip


async def until_there(session: aiohttp.ClientSession, url: str) -> None:
    """Until something answers at ``url``."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def _per_second(session: aiohttp.ClientSession, url: str, seconds: float) -> float:
    end = time.perf_counter() + seconds

    async def reader() -> int:
        count = 0
        while time.perf_counter() < end:
            async with session.get(url) as response:
                await response.read()
            count += 1
        return count

    began = time.perf_counter()
    counts = await asyncio.gather(*(reader() for _ in range(_CLIENTS)))
    return sum(counts) / (time.perf_counter() - began)
