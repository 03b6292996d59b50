"""1,000 functions in four processes: when all of them, and the slowest hundredth, have heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import redis.asyncio as redis

from benchmarks.measure import Line, compared, percentile
from benchmarks.processes import Listener, listener, workplace
from benchmarks.push import Send, center_over_redis, commit, set_and_publish

_PROCESSES, _EACH = 4, 250


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds = max(3, round(100 * size))
    with workplace() as home:
        async with AsyncExitStack() as stack:
            url, trust, center = await center_over_redis(stack, home)
            client = redis.Redis.from_url(url)
            stack.push_async_callback(client.aclose)
            sides = []
            for send, arguments in (
                (commit(center), ["sdk", url, trust, str(home / "state{}"), ""]),
                (set_and_publish(client), ["pubsub", url]),
            ):
                hears = []
                for number in range(_PROCESSES):
                    given = [text.format(number) for text in arguments]
                    hears.append(await stack.enter_async_context(listener(*given, str(_EACH))))
                sides.append((send, hears))
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                series: tuple[list[float], list[float]] = ([], [])
                base = 0 if name == "p50" else rounds * 2
                for number in range(base + 1, base + rounds * 2, 2):
                    for at, (send, hears) in enumerate(sides):
                        took = await _times(send, hears, number + at)
                        series[at].append(percentile(took, share))
                yield compared(
                    "crowd", f"1,000 listeners in 4 processes, {name}", *series,
                    "PUBLISH to the same functions", "us", None,
                )  # fmt: skip


async def _times(send: Send, hears: list[Listener], number: int) -> list[float]:
    began = await send(number)
    heard = await asyncio.gather(*(one.heard_by_all(number) for one in hears))
    return [(at - began) / 1000 for times in heard for at in times]
