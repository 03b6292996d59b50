"""
What those who mean harm cost the others: 100 who send half a request, and 1,000 who open an event
stream and never read it. When are they gone, and how long do good requests take meanwhile?

The readers have next to no room for what they are sent: one whose buffers have room cannot be told
from one that reads, and costs as little. They come from a process of their own, one by one, which
watches as well when they are gone, and comes last when the cores are shared out: it stands for
other machines. A change a second is published all the time.

Good requests are due at a fixed rate, on a few connections, and their time counts from when they
were due: a center that stands still for a while is felt by all that were due in it, as it would be
by as many people, and not by the few that happened to be under way. One window without a siege and
one with it take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.measure import Line, percentile
from benchmarks.processes import Running, center_process, workplace

_NS = "/v1/namespaces/default"
_RATE = 200  # good requests a second: they load the center, they do not fill it
_GOOD = 8  # their connections
_OTHERS = 2  # connections of whoever writes, and of what we do not know of
_PAIRS = 5
_QUIET = 10.0  # seconds, about what a siege lasts
_SETTLE = 2.0  # seconds after a siege, and before the first window
_GONE = 10.0  # seconds
_APART = 0.002  # seconds between two that come
_LOOK = 0.25  # seconds between two looks whether they are gone
_ESTABLISHED = "01"  # Linux, include/net/tcp_states.h


@dataclass(slots=True)
class _Samples:
    """When requests were due and how long each took; the windows; what the sieges came to."""

    taken: list[tuple[float, float]] = field(default_factory=list)
    quiet: list[tuple[float, float]] = field(default_factory=list)
    siege: list[tuple[float, float]] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    most: float = 0.0  # bytes that the center held

    def within(self, window: tuple[float, float]) -> list[float]:
        """The times of the requests that were due in a window."""
        return [took for due, took in self.taken if window[0] <= due < window[1]]


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    half_open, readers = max(10, round(100 * size)), max(50, round(1_000 * size))
    with workplace() as home:
        async with center_process(home / "center") as center, _session(center) as http:
            await _put(http, center.url, "prompt", "You are brief.")
            samples, resting = _Samples(), _resident(center)
            async with (
                _writing(http, center.url),
                _attacker(center, half_open, readers) as attacker,
                _asking(http, center.url, samples),
            ):
                for _ in range(max(1, round(_PAIRS * size))):
                    await asyncio.sleep(min(_SETTLE, 20 * size))
                    await _pair(center, attacker, samples, max(1.0, _QUIET * size))
    what, gone = f"{half_open} half-open, {readers} slow readers", max(samples.gone)
    yield Line("hostile", f"{what}: all gone", gone, _GONE, "10 s", "s", gone / _GONE, 1.0)
    for line in _compared(samples):
        yield line
    mib = 2**20
    most = samples.most
    yield Line(
        *("hostile", "memory of the center", most / mib, resting / mib, "before", "MiB"),
        most / resting,
        None,
    )


def _compared(samples: _Samples) -> list[Line]:
    """With a siege beside without: all windows of a kind together, and window by window."""
    with_it = [samples.within(window) for window in samples.siege]
    without = [samples.within(window) for window in samples.quiet]
    found = []
    for share, bound in ((0.5, None), (0.99, 2.0)):
        one, other = (
            1e3 * percentile([took for window in windows for took in window], share)
            for windows in (with_it, without)
        )
        count = sum(map(len, with_it))
        what = f"p{share * 100:.0f} of {count:,} good requests"
        found.append(Line("hostile", what, one, other, "without", "ms", one / other, bound))
    pairs = [
        (1e3 * percentile(one, 0.99), 1e3 * percentile(other, 0.99))
        for one, other in zip(with_it, without, strict=True)
    ]
    ratios = sorted(one / other for one, other in pairs)
    one, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    spread = f"without; the ratios were {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
    what = f"p99 in each of {len(pairs)} pairs of windows, median"
    middle = statistics.median(ratios)
    found.append(Line("hostile", what, one, other, spread, "ms", middle, 2.0))
    return found


async def _pair(
    center: Running, attacker: asyncio.subprocess.Process, samples: _Samples, quiet: float
) -> None:
    """A window without a siege, then one with it."""
    assert attacker.stdin is not None
    assert attacker.stdout is not None
    began = time.perf_counter()
    await asyncio.sleep(quiet)
    ended = time.perf_counter()
    attacker.stdin.write(b"\n")
    told = asyncio.create_task(attacker.stdout.readline())
    while not (await asyncio.wait((told,), timeout=0.5))[0]:
        samples.most = max(samples.most, _resident(center))
    samples.quiet.append((began, ended))
    samples.siege.append((ended, time.perf_counter()))
    samples.gone.append(float(told.result()))


def _session(center: Running) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {center.token}"}
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))


async def _put(http: aiohttp.ClientSession, url: str, key: str, value: object) -> None:
    async with http.put(f"{url}{_NS}/keys/{key}", json={"value": value}) as answer:
        assert answer.status == 200, await answer.text()


@contextlib.asynccontextmanager
async def _writing(http: aiohttp.ClientSession, url: str) -> AsyncIterator[None]:
    """A change a second."""

    async def write() -> None:
        for number in range(1_000_000):
            await _put(http, url, "number", number)
            await asyncio.sleep(1.0)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@contextlib.asynccontextmanager
async def _asking(http: aiohttp.ClientSession, url: str, samples: _Samples) -> AsyncIterator[None]:
    """Good requests at the rate; at the end all that were due are answered."""
    due: asyncio.Queue[float] = asyncio.Queue()

    async def clock() -> None:
        at = time.perf_counter()
        while True:
            at += 1 / _RATE
            await asyncio.sleep(at - time.perf_counter())
            due.put_nowait(at)

    async def ask() -> None:
        while True:
            at = await due.get()
            async with http.get(f"{url}{_NS}/keys/prompt") as answer:
                await answer.read()
                assert answer.status == 200
            samples.taken.append((at, time.perf_counter() - at))
            due.task_done()

    ticking = asyncio.create_task(clock())
    asking = [asyncio.create_task(ask()) for _ in range(_GOOD)]
    try:
        yield
        ticking.cancel()
        await due.join()
    finally:
        for task in (ticking, *asking):
            task.cancel()
        await asyncio.wait((ticking, *asking))


@contextlib.asynccontextmanager
async def _attacker(
    center: Running, half_open: int, readers: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that lays a siege for each line, and then says how long it was borne."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.hostile", center.url, center.token),
        *(str(half_open), str(readers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        started.kill()
        await started.wait()


def _resident(center: Running) -> float:
    """Bytes of memory that the center holds."""
    lines = Path(f"/proc/{center.process.pid}/status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return float(found) * 1024


def _attack(url: str, token: str, half_open: int, readers: int) -> float:
    """Connect them all, do nothing; seconds from the last one's coming until all are gone."""
    at = urlsplit(url)
    assert at.port is not None
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
    began = time.perf_counter()
    while _connections(at.port) > _GOOD + _OTHERS and time.perf_counter() - began < 6 * _GONE:
        time.sleep(_LOOK)
    lasted = time.perf_counter() - began
    for connection in kept:
        connection.close()
    return lasted


def _connections(port: int) -> int:
    """Those that are open at the center, as the kernel tells: asking the center would cost it."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        found += state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    return found


if __name__ == "__main__":
    url, token, half_open, readers = sys.argv[1:]
    os.nice(19)
    for _ in sys.stdin:
        print(_attack(url, token, int(half_open), int(readers)), flush=True)
