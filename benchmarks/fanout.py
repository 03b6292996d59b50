"""1,000 listeners in one process: when the last of them has heard, in microseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from benchmarks.measure import Line, compared
from client_sdk.bodies import encode_body
from client_sdk.contents import Content, Op
from client_sdk.listeners import Change, Listeners
from client_sdk.records import Position, sha256_hex
from client_sdk.serving import Serving
from client_sdk.state import NamespaceState

_MANY = 1000
_CHANGE = Change("key", "value", None, 1, Position(1, 1), "publish")


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds = max(3, round(200 * size))
    served = [await _served_to(count, rounds) for count in (1, _MANY)]
    yield compared(
        "fanout", "1,000 plain listeners, publish -> the last", served[1], served[0],
        "one listener", "us", 3.0,
    )  # fmt: skip
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(await _coroutines(_MANY))
        theirs.append(await _bare_tasks(_MANY))
    yield compared(
        "fanout", "1,000 coroutine listeners", ours, theirs, "a loop of create_task", "us", 1.5
    )


def _told(count: int) -> Callable[[], None]:
    listeners = Listeners()
    for _ in range(count):
        listeners.add("key", lambda change: None)
    return lambda: listeners.tell(_CHANGE)


async def _served_to(count: int, rounds: int) -> list[float]:
    """A whole step of the read side, then everybody told, as a client does it."""

    def opened(_key: str, value: Any) -> Any:
        return value

    serving = Serving(instance="bench", labels={}, defaults={}, open_sealed=opened)
    state, tell, took = NamespaceState.empty(), _told(count), []
    for number in range(1, rounds + 1):
        body = encode_body(number, "json")
        op = Op(
            "key", "set", number, Content(number, sha256_hex(body), len(body), "json", body=body)
        )
        state = state.after([op], Position(1, number))
        began = time.perf_counter()
        await serving.advance(state, frozenset({"key"}))
        tell()
        took.append((time.perf_counter() - began) * 1e6)
    await serving.close(0.0)
    return took


async def _coroutines(count: int) -> float:
    listeners = Listeners()
    done = asyncio.Event()
    left = [count]

    async def changed(_: Change) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    for _ in range(count):
        listeners.add("key", changed)
    began = time.perf_counter()
    listeners.tell(_CHANGE)
    await done.wait()
    took = time.perf_counter() - began
    await listeners.close()
    return took * 1e6


async def _bare_tasks(count: int) -> float:
    done = asyncio.Event()
    left = [count]

    async def changed(_: Change) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    began = time.perf_counter()
    tasks = [asyncio.create_task(changed(_CHANGE)) for _ in range(count)]
    await done.wait()
    took = time.perf_counter() - began
    await asyncio.gather(*tasks)
    return took * 1e6
