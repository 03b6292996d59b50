"""The sentinels of a service, asked by several at once."""

from __future__ import annotations

import asyncio
import random

import redis.asyncio as redis

from client_sdk.redis_url import group_of
from client_sdk.transports.sentinels import Sentinels, sentinel_pool

_MASTER = {"ip": "10.0.0.9", "port": 6379, "is_master": True, "is_sdown": False, "is_odown": False}


async def test_of_two_calls_at_once_none_forgets_a_sentinel() -> None:
    sentinels = Sentinels([("a", 1), ("b", 2), ("c", 3)])  # type: ignore[no-untyped-call]  # redis-py
    dead, living, third = before = list(sentinels.sentinels)
    asked, both_ask = [], asyncio.Event()

    async def refuses() -> None:
        raise redis.ConnectionError("a is gone")

    async def answers() -> dict[str, object]:
        asked.append(1)
        if len(asked) == 2:
            both_ask.set()
        await both_ask.wait()
        return {"cc": {**_MASTER, "num-other-sentinels": 2}}

    dead.sentinel_masters = refuses  # type: ignore[method-assign]
    living.sentinel_masters = answers  # type: ignore[method-assign]

    found = await asyncio.gather(*(sentinels.discover_master("cc") for _ in range(2)))

    assert found == [("10.0.0.9", 6379)] * 2
    assert sorted(map(id, sentinels.sentinels)) == sorted(map(id, before))
    assert sentinels.sentinels == [living, dead, third]


def test_a_silent_sentinel_takes_its_share_of_the_time_and_is_not_always_the_first() -> None:
    group = group_of("redis+sentinel://a:1,b:2,c:3/cc")
    assert group is not None
    first = set()
    for seed in range(30):
        pool = sentinel_pool(group, {"socket_connect_timeout": 6.0}, random.Random(seed))
        asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        first.add(asked[0]["host"])
        for limit in ("socket_timeout", "socket_connect_timeout"):
            assert sum(each[limit] for each in asked) == 6.0

    assert first == {"a", "b", "c"}
