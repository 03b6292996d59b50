"""
One change to 1,000 event streams of one center: when the last one hears it, and for how long
nothing else gets its turn.

How many are told in one turn of the event loop (config_center/ledger/watchers.py) is weighed here:
the fewer, the shorter everybody else waits, and the more turns it takes. Each number is measured
beside all in one turn, in an order that changes from round to round. The readers are a process of
their own that reads and notes the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.measure import Line
from benchmarks.processes import workplace
from config_center.center import Center
from config_center.settings import load

_NS = "/v1/namespaces/default"
_COUNTS = (1, 2, 8, 32)  # beside all of them
_BETWEEN = 0.25  # seconds, for what the change before left behind
_WITHIN = 30.0


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    streams, rounds = max(20, round(1_000 * size)), max(2, round(15 * size))
    counts, rng = (*_COUNTS, streams), random.Random(1)
    last: dict[int, list[float]] = {count: [] for count in counts}
    held: dict[int, list[float]] = {count: [] for count in counts}
    with workplace() as home:
        async with (
            center_here(home / "data") as (center, http),
            _readers(center, streams) as readers,
        ):
            watchers = center.service.ledger("default").watchers
            for number in range(rounds):
                for count in rng.sample(counts, len(counts)):
                    watchers.turns.least = count
                    await asyncio.sleep(_BETWEEN)
                    with turns() as lasted:
                        took = await _told(http, center, readers, f"{count} {number}")
                    last[count].append(took * 1e3)
                    held[count].append(max(lasted) * 1e3)
    for what, series in (
        (f"{streams:,} streams, the last hears", last),
        ("the longest turn", held),
    ):
        theirs = statistics.median(series[streams])
        for count in _COUNTS:
            ours = statistics.median(series[count])
            name = f"{count} at once: {what}"
            yield Line("streams", name, ours, theirs, "all at once", "ms", ours / theirs, None)


@contextlib.asynccontextmanager
async def center_here(data: Path) -> AsyncIterator[tuple[Center, aiohttp.ClientSession]]:
    """A center in this process, whose loop can be watched, and a session of its admin's."""
    given = {"listen": "127.0.0.1:0", "data": data}
    async with Center(load(given, environment={}).settings) as center:
        headers = {"Authorization": f"Bearer {center.admin_token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            yield center, http


@contextlib.contextmanager
def turns() -> Iterator[list[float]]:
    """Seconds that each turn of the event loop took in the block."""
    found: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            found.append(time.perf_counter() - began)

    task = asyncio.create_task(tick())
    try:
        yield found
    finally:
        task.cancel()


async def _told(
    http: aiohttp.ClientSession, center: Center, readers: asyncio.subprocess.Process, name: str
) -> float:
    """Seconds from sending a change until the last stream has it."""
    assert readers.stdout is not None
    began = time.monotonic()
    body = {"value": name, "comment": name}
    async with http.put(f"{center.url}{_NS}/keys/k", json=body) as answer:
        assert answer.status == 200, await answer.text()
    async with asyncio.timeout(_WITHIN):
        while True:
            line = await readers.stdout.readline()
            assert line, "the readers ended; see what they wrote above"
            heard, _, at = line.decode().rpartition(" ")
            if heard == name:
                return float(at) - began


@contextlib.asynccontextmanager
async def _readers(center: Center, streams: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that reads so many event streams, once it has all of them."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.streams", center.url, center.admin_token, str(streams)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert started.stdout is not None
        async with asyncio.timeout(_WITHIN):
            assert await started.stdout.readline()
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def _read(url: str, token: str, streams: int) -> None:
    """Say "ready", then of each change when the last stream had it."""
    at, heard, open_now = urlsplit(url), Counter[bytes](), 0

    async def one() -> None:
        nonlocal open_now
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"GET {_NS}/watch HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        async for line in reader:
            if line.startswith(b"event: subscribed"):
                open_now += 1
                if open_now == streams:
                    print("ready", flush=True)
            elif b'"comment":"' in line:
                name = line.partition(b'"comment":"')[2].partition(b'"')[0]
                heard[name] += 1
                if heard[name] == streams:
                    print(name.decode(), time.monotonic(), flush=True)

    await asyncio.gather(*(one() for _ in range(streams)))


if __name__ == "__main__":
    asyncio.run(_read(sys.argv[1], sys.argv[2], int(sys.argv[3])))
