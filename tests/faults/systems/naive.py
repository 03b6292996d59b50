"""
The system that people write first: HSET, PUBLISH, "newer wins", sleep and connect again.

Nothing in it is careless by the standards of a tutorial; it is what a fault round must refuse, so
that a round which lets ours pass says something.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.faults.checkers.watch import Change, History, Seen, Step
from tests.faults.scale import Scale
from tests.faults.systems.base import Evidence, System

_AGAIN = 0.3  # seconds of sleep before it connects again


class NaiveClient:
    """Reads everything once, then believes messages whose version is newer than the last."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.version = 0
        self.values: dict[str, int] = {}
        self.steps: list[Step] = []
        self.listening = asyncio.Event()
        self._url = url

    async def run(self) -> None:
        while True:
            client = redis.Redis.from_url(self._url)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe("news")
                    self.listening.set()
                    async for message in pubsub.listen():
                        self._take(json.loads(message["data"]))
            except (redis.RedisError, OSError):
                await asyncio.sleep(_AGAIN)
            finally:
                with contextlib.suppress(redis.RedisError, OSError):
                    await client.aclose()

    def _take(self, news: dict[str, Any]) -> None:
        if news["version"] > self.version:
            self.version = news["version"]
            self.values[news["key"]] = news["number"]
            self.steps.append(Step(time.monotonic(), (1, self.version), dict(self.values)))


class Naive(System):
    """One publisher process, many clients."""

    def __init__(self, url: str, clients: list[NaiveClient]) -> None:
        self.clients = clients
        self._url = url
        self._version = 0
        self._turn = asyncio.Lock()
        self._redis = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    async def put(self, key: str, number: int) -> bool:
        async with self._turn:
            return await self._put(key, number)

    async def _put(self, key: str, number: int) -> bool:
        self._version += 1
        news = {"version": self._version, "key": key, "number": number}
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset("config", key, number)
        pipe.rpush("log", json.dumps(news))
        pipe.publish("news", json.dumps(news))
        try:
            answers = await pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError):
            return False
        return not any(isinstance(answer, Exception) for answer in answers)

    def served(self, key: str) -> Sequence[int]:
        return [client.values.get(key, 0) for client in self.clients]

    def has_noticed(self) -> bool:
        return False  # nothing tells it

    def says_stale(self) -> bool:
        return False

    async def restore(self) -> None:
        """There is nothing to restore from."""

    async def evidence(self) -> Evidence:
        rows = [json.loads(row) for row in await self._redis.lrange("log", 0, -1)]
        rows.sort(key=lambda row: row["version"])
        changes, present, p = [], {}, b""
        for row in rows:
            c = str(row["version"]).encode()
            changes.append(Change(c, p, (1, row["version"]), {row["key"]: row["number"]}))
            present.setdefault(row["key"], []).append(row["number"])
            p = c
        seen = [Seen(client.name, client.steps) for client in self.clients]
        return Evidence(History.of(changes), present, seen)

    async def close(self) -> None:
        await self._redis.aclose()


@contextlib.asynccontextmanager
async def naive(store: str, reading: str, scale: Scale) -> AsyncIterator[Naive]:
    """The naive system, running inside the block."""
    clients = [NaiveClient(reading, f"naive-{n}") for n in range(scale.clients)]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.gather(*(client.listening.wait() for client in clients))
    system = Naive(store, clients)
    try:
        yield system
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await system.close()
