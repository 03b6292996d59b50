"""
What a change cannot cost less than, in one Python process: each part alone, in microseconds.

No bounds: these lines say how far the bounds of *push* and *write* can be reached on a machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.measure import Line, compared, per_call
from benchmarks.processes import etcd_server, free_port, process, workplace
from benchmarks.web import until_there
from benchmarks.write import by_http, per_second, to_etcd

_PAYLOAD = os.urandom(600)
_ANSWERS = """
import sys
import orjson
from aiohttp import web
async def handler(request):
    orjson.loads(await request.read())
    return web.Response(body=b'{"version": 1}', content_type="application/json")
app = web.Application()
app.router.add_put("/{tail:.*}", handler)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, calls = max(2, round(7 * size)), max(10, round(500 * size))
    with workplace() as home:
        for what, part in _parts(home):
            yield _alone(what, [per_call(part, calls) * 1e6 for _ in range(rounds)])
        yield _alone("to a thread and back", [await _hop(calls) for _ in range(rounds)])
        async for line in _http(home, rounds, max(0.3, 2.0 * size)):
            yield line


def _alone(what: str, took: list[float]) -> Line:
    return compared("floor", what, took, [1.0] * len(took), "alone", "us", None)


def _parts(home: Path) -> list[tuple[str, Callable[[int], object]]]:
    key = Ed25519PrivateKey.generate()
    public, sig = key.public_key(), key.sign(_PAYLOAD)
    buckets = os.urandom(32 * 1024)
    tail = os.open(home / "tail", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append(calls: int) -> None:
        for _ in range(calls):
            os.write(tail, _PAYLOAD)
            os.fsync(tail)

    return [
        ("sign 600 bytes", lambda calls: [key.sign(_PAYLOAD) for _ in range(calls)]),
        ("verify them", lambda calls: [public.verify(sig, _PAYLOAD) for _ in range(calls)]),
        ("SHA-256 over 1,024 buckets",
         lambda calls: [hashlib.sha256(buckets).digest() for _ in range(calls)]),
        ("append 600 bytes, fsync", append),
    ]  # fmt: skip


async def _hop(calls: int) -> float:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(calls):
        await loop.run_in_executor(None, int)
    return (time.perf_counter() - began) / calls * 1e6


async def _http(home: Path, rounds: int, seconds: float) -> AsyncIterator[Line]:
    """A server that only parses and answers, beside etcd: what 50 writers get of one process."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(etcd_server(home / "etcd"))
        if port is None:
            return
        import aetcd  # type: ignore[import-untyped]  # it has no py.typed

        own = free_port()
        server = process(sys.executable, "-c", _ANSWERS, str(own), log=home / "answers.log")
        await stack.enter_async_context(server)
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        client = await stack.enter_async_context(aetcd.Client(port=port))
        url = f"http://127.0.0.1:{own}"
        await until_there(session, url)
        ours, theirs = [], []
        for turn in range(rounds + 1):
            one = await per_second(by_http(session, url), seconds)
            other = await per_second(to_etcd(client), seconds)
            if turn:
                ours.append(one)
                theirs.append(other)
        yield compared(
            "floor", "50 writers, a handler that does nothing", ours, theirs,
            "etcd put, 50 writers", "1/s", None,
        )  # fmt: skip
