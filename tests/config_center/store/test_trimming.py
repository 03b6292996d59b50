"""How long the log stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio as redis

from config_center.store.base import Retention
from config_center.store.redis import RedisStore
from config_center.store.trimming import trim
from tests.config_center.ledger.world import center, draft
from tests.redis_server import running


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (Retention(records=10, seconds=0), 10),
        (Retention(records=10, seconds=20), 20),  # as young as that
        (Retention(records=60, seconds=0), 60),  # shorter than promised: nothing goes
        (Retention(records=10, seconds=1000), 60),
        (Retention(records=30, seconds=0, max_bytes=1), 30),  # half of it, whatever its age
    ],
)
async def test_what_is_young_or_few_stays(keep: Retention, left: int) -> None:
    with running() as server:
        client = redis.Redis.from_url(server.url)
        for second in range(1, 61):
            await client.xadd("log", {"r": b"x", "t": second * 1000}, id=f"1-{second}")

        for _ in range(10):
            await trim(client, "log", keep, 60_500)
            if keep.max_bytes == 1:
                break

        assert await client.xlen("log") == left
        await client.aclose()


async def test_a_log_that_is_not_there_is_no_trouble() -> None:
    with running() as server:
        client = redis.Redis.from_url(server.url)

        await trim(client, "log", Retention(), 0)

        assert await client.exists("log") == 0
        await client.aclose()


async def test_namespaces_that_take_turns_are_all_trimmed(tmp_path: Path) -> None:
    with running() as server:
        client = redis.Redis.from_url(server.url)
        store = RedisStore(server.url, Retention(records=20, seconds=-1))
        await store.open()
        async with center(tmp_path, store) as registry:
            await registry.create("other", "tester")
            for number in range(30):
                for ns in ("default", "other"):
                    await registry.get(ns).submit(draft("k", number))

            lengths = [await client.xlen(f"cc:{{{ns}}}:log") for ns in ("default", "other")]

        assert max(lengths) <= 22
        await store.close()
        await client.aclose()
