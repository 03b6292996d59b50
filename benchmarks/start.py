"""What a process pays before it serves: the import, and a start with everything down."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from benchmarks.measure import Line, compared
from benchmarks.processes import center_process, workplace
from benchmarks.size import fill
from client_sdk import Client

_IMPORTS = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, large = max(3, round(15 * size)), max(100, round(20_000 * min(1.0, size)))
    names = ("client_sdk", "client_sdk.client")
    over: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        bare = _seconds_to_import("asyncio")
        for name in names:
            over[name].append((_seconds_to_import(f"asyncio, {name}") - bare) * 1000)
    for name in names:
        what = f"import {name} over asyncio"
        yield compared("start", what, over[name], [60.0], "60 ms", "ms", 1.0)
    for count in (20, large):
        with workplace() as home:
            took = await _starts(home, count, max(3, rounds // 3))
        yield compared(
            "start", f"everything down, {count:,} keys", took, [1000.0], "1 s", "ms", 1.0
        )


def _seconds_to_import(what: str) -> float:
    code = _IMPORTS.format(what)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


async def _starts(home: Path, count: int, rounds: int) -> list[float]:
    state = home / "state"
    async with center_process(home / "center") as center:
        url, token = center.url, center.token
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            await fill(session, url, count)
        async with Client.connect(url, instance="bench", state=state, token=token) as client:
            assert client.get("k19") == "value 19"
    code = (
        "import asyncio, sys, time\n"
        "from client_sdk import Client\n"
        "async def main():\n"
        "    began = time.perf_counter()\n"
        "    how = {'instance': 'bench', 'state': sys.argv[2], 'timeout': 0.0}\n"
        "    connect = Client.connect(sys.argv[1], **how)\n"
        "    async with connect as client:\n"
        "        client.get('k19'); assert client.status().stale\n"
        "        print((time.perf_counter() - began) * 1000)\n"
        "asyncio.run(main())\n"
    )
    took = []
    for _ in range(rounds):
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, url, str(state)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        took.append(float(done.stdout))
    return took
