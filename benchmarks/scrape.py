"""
What ``/metrics`` costs everybody else: for how long nothing else gets its turn while Prometheus
asks, with 200 instances that report, beside the ``GET`` of a key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp

from benchmarks.measure import Line, compared, percentile
from benchmarks.processes import workplace
from benchmarks.streams import center_here, turns
from client_sdk.reports import Report, report_key

_NS = "/v1/namespaces/default"
_BETWEEN = 0.02  # seconds


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    instances, rounds = max(2, round(200 * size)), max(3, round(100 * size))
    with workplace() as home:
        async with center_here(home / "data") as (center, http):
            key, metrics = f"{center.url}{_NS}/keys/prompt", f"{center.url}/metrics"
            async with http.put(key, json={"value": "You are brief."}) as answer:
                assert answer.status == 200, await answer.text()
            for number in range(instances):
                await _report(http, center.url, f"gw-{number}")
            took, held = [], []
            others_took, others_held = [], []
            for turn in range(rounds + 1):
                one, two = await _asked(http, metrics), await _asked(http, key)
                if turn:
                    took.append(one[0])
                    held.append(one[1])
                    others_took.append(two[0])
                    others_held.append(two[1])
    what = f"/metrics, {instances} instances"
    yield compared(
        "scrape", f"{what}: the longest turn", held, others_held, "GET of a key", "ms", None
    )
    worst, other = percentile(held, 0.99), percentile(others_held, 0.99)
    yield Line("scrape", "the same, p99", worst, other, "GET of a key", "ms", worst / other, None)
    yield compared("scrape", "answered in", took, others_took, "GET of a key", "ms", None)


async def _asked(http: aiohttp.ClientSession, url: str) -> tuple[float, float]:
    """Milliseconds until it was answered, and those that nothing else got its turn."""
    await asyncio.sleep(_BETWEEN)
    with turns() as lasted:
        began = time.perf_counter()
        async with http.get(url) as answer:
            await answer.read()
            assert answer.status == 200
        took = time.perf_counter() - began
    return took * 1e3, max(lasted) * 1e3


async def _report(http: aiohttp.ClientSession, url: str, name: str) -> None:
    """One more instance, which has said that it follows."""
    asked = {"name": name, "role": "instance", "instance": name}
    async with http.post(f"{url}/v1/tokens", json=asked) as answer:
        assert answer.status == 201, await answer.text()
        token = (await answer.json())["token"]
    now = time.time_ns() // 1_000_000
    frame = Report(name, "first", 1, now, "default", {"full": True}).encode(report_key(token))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    async with http.post(f"{url}{_NS}/reports", data=frame, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
