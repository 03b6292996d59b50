"""
What those who mean harm cost the others: 100 who send half a request, and 1,000 who open an event
stream and never read it. When are they gone, and how long do good requests take meanwhile?

The readers have next to no room for what they are sent: one whose buffers have room cannot be told
from one that reads, and costs as little. They come from a process of their own, one by one; a
change a second is published all the time, also in the quiet seconds before that are compared with.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.measure import Line, percentile
from benchmarks.processes import Running, center_process, workplace

_NS = "/v1/namespaces/default"
_GOOD = 4  # clients
_PAUSE = 0.01  # seconds between two requests of each: they load the center, they do not fill it
_GONE = 10.0  # seconds
_APART = 0.002  # seconds between two that come
_OTHERS = 2  # connections of whoever writes
_ESTABLISHED = "01"  # Linux, include/net/tcp_states.h


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    half_open, readers = max(10, round(100 * size)), max(50, round(1_000 * size))
    quiet = max(1.0, 12.0 * size)
    with workplace() as home:
        async with center_process(home / "center") as center, _session(center) as http:
            await _put(http, center.url, "prompt", "You are brief.")
            writer = asyncio.create_task(_write(http, center.url))
            try:
                before = await _latencies(http, center.url, asyncio.sleep(quiet))
                resting = _resident(center)
                attacker = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.hostile", center.url, center.token),
                    *(str(half_open), str(readers)),
                    stdout=asyncio.subprocess.PIPE,
                )
                try:
                    siege = asyncio.create_task(_until_gone(center, attacker))
                    during = await _latencies(http, center.url, siege)
                    gone, most = siege.result()
                finally:
                    attacker.kill()
                    await attacker.wait()
            finally:
                writer.cancel()
                await asyncio.wait((writer,))
    what = f"{half_open} half-open, {readers} slow readers"
    yield Line("hostile", f"{what}: all gone", gone, _GONE, "10 s", "s", gone / _GONE, 1.0)
    one, other = percentile(during, 0.99) * 1e3, percentile(before, 0.99) * 1e3
    yield Line("hostile", "p99 of good requests", one, other, "before", "ms", one / other, 2.0)
    held = most / resting
    yield Line(
        "hostile",
        "memory of the center",
        most / 2**20,
        resting / 2**20,
        "before",
        "MiB",
        held,
        None,
    )


def _session(center: Running) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {center.token}"}
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))


async def _put(http: aiohttp.ClientSession, url: str, key: str, value: object) -> None:
    async with http.put(f"{url}{_NS}/keys/{key}", json={"value": value}) as answer:
        assert answer.status == 200, await answer.text()


async def _write(http: aiohttp.ClientSession, url: str) -> None:
    for number in range(1_000_000):
        await _put(http, url, "number", number)
        await asyncio.sleep(1.0)


async def _latencies(
    http: aiohttp.ClientSession, url: str, meanwhile: Awaitable[object]
) -> list[float]:
    """Of good requests, until ``meanwhile`` is over."""
    over = asyncio.ensure_future(meanwhile)
    found: list[float] = []

    async def reader() -> None:
        while not over.done():
            began = time.perf_counter()
            async with http.get(f"{url}{_NS}/keys/prompt") as answer:
                await answer.read()
                assert answer.status == 200
            found.append(time.perf_counter() - began)
            await asyncio.sleep(_PAUSE)

    await asyncio.gather(*(reader() for _ in range(_GOOD)))
    return found


async def _until_gone(center: Running, attacker: asyncio.subprocess.Process) -> tuple[float, float]:
    """Seconds from the last one's coming until the center has none of them; the most it held."""
    assert attacker.stdout is not None
    await attacker.stdout.readline()
    began, most = time.perf_counter(), 0.0
    while time.perf_counter() - began < 6 * _GONE:
        most = max(most, _resident(center))
        if _connections(center) <= _GOOD + _OTHERS:
            break
        await asyncio.sleep(0.1)
    return time.perf_counter() - began, most


def _connections(center: Running) -> int:
    """Those that are open at the center, as the kernel tells: asking the center would cost it."""
    port, found = urlsplit(center.url).port, 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        found += state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    return found


def _resident(center: Running) -> float:
    """Bytes of memory that the center holds."""
    lines = Path(f"/proc/{center.process.pid}/status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return float(found) * 1024


def attack(url: str, token: str, half_open: int, readers: int) -> None:
    """Connect them all, say so, and do nothing for ever."""
    at = urlsplit(url)
    head = f"GET {_NS}/watch?as=records HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    kept = []
    for number in range(half_open + readers):
        connection = socket.socket()
        whole = number >= half_open
        if whole:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((at.hostname, at.port))
        connection.sendall((head + "\r\n" * whole).encode())
        kept.append(connection)
        time.sleep(_APART)
    print(len(kept), flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    attack(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
