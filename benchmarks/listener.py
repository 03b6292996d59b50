"""
Hears numbers and prints ``NUMBER NANOSECONDS ...`` for each, a time for every function that was
called: ``sdk URL TRUST STATE TOKEN [FUNCTIONS]``, ``fleet URL TRUST STATE TOKENS`` (a client for
each line of that file: INSTANCE TOKEN), ``pubsub URL [FUNCTIONS]`` (a channel, nothing else) or
``etcd PORT``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from client_sdk import Client
from client_sdk.listeners import Change

_PATIENCE = 60.0  # seconds; a thousand begin at once


def say(number: int, *at: int) -> None:
    """One line, at once."""
    sys.stdout.write(f"{number} {' '.join(map(str, at))}\n")
    sys.stdout.flush()


class Functions:
    """So many functions that hear; the last of them says when each did."""

    def __init__(self, count: str) -> None:
        self._times: list[int] = []
        self._count = int(count)
        self.all = [self._one() for _ in range(self._count)]

    def _one(self) -> Callable[[int], None]:
        def hear(number: int) -> None:
            self._times.append(time.monotonic_ns())
            if len(self._times) == self._count:
                say(number, *self._times)
                self._times.clear()

        return hear


def _of_value(hear: Callable[[int], None]) -> Callable[[Change], None]:
    return lambda change: hear(change.value or 0)


async def by_sdk(url: str, trust: str, state: str, token: str, count: str = "1") -> None:
    """A verified, durable callback."""
    async with Client.connect(
        url, instance="bench", state=Path(state), token=token or None, trust=trust or None,
        timeout=_PATIENCE,
    ) as client:  # fmt: skip
        for hear in Functions(count).all:
            client.on_change("number")(_of_value(hear))
        say(-1, 0)
        await asyncio.Event().wait()


async def by_fleet(url: str, trust: str, state: str, tokens: str) -> None:
    """A client for each instance, each with a function."""
    pairs = [line.split() for line in Path(tokens).read_text().splitlines()]
    functions = Functions(str(len(pairs)))
    few = asyncio.Semaphore(20)

    async def begin(instance: str, token: str, hear: Callable[[int], None]) -> Client:
        async with few:
            client = await Client.connect(
                url, instance=instance, state=Path(state) / instance, token=token, trust=trust,
                timeout=_PATIENCE,
            )  # fmt: skip
        client.on_change("number")(_of_value(hear))
        return client

    given = zip(pairs, functions.all, strict=True)
    clients = await asyncio.gather(
        *(begin(instance, token, hear) for (instance, token), hear in given)
    )
    say(-1, len(clients))
    await asyncio.Event().wait()


async def by_pubsub(url: str, count: str = "1") -> None:
    """The limit: a message of the channel."""
    import redis.asyncio as redis

    client = redis.Redis.from_url(url)
    channel = client.pubsub(ignore_subscribe_messages=False)
    functions = Functions(count)
    await channel.subscribe("bench")
    async for message in channel.listen():
        if message["type"] == "subscribe":
            say(-1, 0)
            continue
        for hear in functions.all:
            hear(int(message["data"][:12]))


async def by_etcd(port: str) -> None:
    """The peer: a watch."""
    import aetcd  # type: ignore[import-untyped]  # it has no py.typed

    async with aetcd.Client(port=int(port)) as client:
        watch = await client.watch(b"number")
        say(-1, 0)
        async for event in watch:
            at = time.monotonic_ns()
            say(int(event.kv.value[:12]), at)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    kinds: dict[str, Callable[..., Coroutine[Any, Any, None]]]
    kinds = {"sdk": by_sdk, "fleet": by_fleet, "pubsub": by_pubsub, "etcd": by_etcd}
    asyncio.run(kinds[kind](*rest))
