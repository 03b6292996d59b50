"""One change in a namespace of 20,000 keys beside one in a namespace of 20, in microseconds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp

from benchmarks.measure import Line, compared
from benchmarks.processes import center_process, listener, workplace

_SMALL, _LARGE = 20, 20_000


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, each = max(2, round(5 * size)), max(5, round(40 * size))
    large = max(100, round(_LARGE * min(1.0, size)))
    with workplace() as home:
        async with AsyncExitStack() as stack:
            spaces = []
            for count in (_SMALL, large):
                center = await stack.enter_async_context(center_process(home / f"c{count}"))
                url, token = center.url, center.token
                session = await stack.enter_async_context(
                    aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
                )
                await fill(session, url, count - 1)  # and the one that changes
                state = str(home / f"state{count}")
                hears = await stack.enter_async_context(listener("sdk", url, "", state, token))
                spaces.append((session, url, hears))
            answers: tuple[list[float], list[float]] = ([], [])
            heard: tuple[list[float], list[float]] = ([], [])
            number = 0
            for turn in range(rounds + 1):
                for at, (session, url, hears) in enumerate(spaces):
                    for _ in range(each):
                        number += 1
                        began = time.monotonic_ns()
                        await _put(session, url, number)
                        answered = time.monotonic_ns()
                        there = await hears.heard(number)
                        if turn:
                            answers[at].append((answered - began) / 1000)
                            heard[at].append((there - began) / 1000)
        against = f"{_SMALL} keys"
        what = f"{large:,} keys"
        yield compared("size", f"publish, {what}", answers[1], answers[0], against, "us", 2.0)
        yield compared(
            "size", f"publish -> callback, {what}", heard[1], heard[0], against, "us", 2.0
        )


async def _put(session: aiohttp.ClientSession, url: str, number: int) -> None:
    target = f"{url}/v1/namespaces/default/keys/number"
    async with session.put(target, json={"value": number}) as response:
        assert response.status == 200, await response.text()
        await response.read()


async def fill(session: aiohttp.ClientSession, url: str, count: int) -> None:
    """Put ``count`` small keys, a thousand a change."""
    for begin in range(0, count, 1000):
        operations = [
            {"op": "put", "key": f"k{number}", "value": f"value {number}"}
            for number in range(begin, min(count, begin + 1000))
        ]
        target = f"{url}/v1/namespaces/default/changes"
        async with session.post(target, json={"operations": operations}) as response:
            assert response.status == 200, await response.text()
