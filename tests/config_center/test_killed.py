"""
kill -9 of the center and of its store while changes are published: every acknowledged one is there,
none twice.

Each publisher owns one key and publishes 1, 2, 3 ... to it, each number until it is acknowledged.
So in the end version N of a key must hold the number N, for every N: a lost one leaves a hole, a
doubled one shifts all that follow. Some answers are thrown away after they arrived, as a broken
connection does; a publisher that asks again without its idempotency key then publishes twice, and
the same checker has to say so.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import redis

from client_sdk import Client
from tests.center_process import CenterProcess, center_process
from tests.until import until

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
NS = "/v1/namespaces/default"
PUBLISHERS, EACH, KILLS = 8, 125, 8
WITHIN = 120.0


@dataclass
class Publisher:
    """Publishes 1..``numbers`` to ``key``, each until it is acknowledged."""

    center: CenterProcess
    key: str
    numbers: int
    idempotent: bool
    rng: random.Random
    acknowledged: list[int] = field(default_factory=list)
    attempts: int = 0

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for number in range(1, self.numbers + 1):
                while not await self._published(session, number):  # noqa: ASYNC110
                    await asyncio.sleep(self.rng.uniform(0.0, 0.05))
                self.acknowledged.append(number)

    async def _published(self, session: aiohttp.ClientSession, number: int) -> bool:
        self.attempts += 1
        headers = {"Authorization": f"Bearer {self.center.token}"}
        if self.idempotent:
            headers["Idempotency-Key"] = f"{self.key}-{number}"
        url = f"{self.center.url}{NS}/keys/{self.key}"
        try:
            async with session.put(url, json={"value": number}, headers=headers) as response:
                await response.read()
                assert response.status < 500 or response.status in (503, 504), response.status
                assert response.status < 400 or response.status >= 500, await response.text()
                return response.status == 200 and self.rng.random() > 0.02  # an answer gets lost
        except (aiohttp.ClientError, TimeoutError):
            return False


@dataclass
class Found:
    """What the checker saw."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


async def check(center: CenterProcess, publishers: list[Publisher]) -> Found:
    """Compare what was acknowledged with the history, number by number."""
    found = Found()
    headers = {"Authorization": f"Bearer {center.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for publisher in publishers:
            numbers = await numbers_of(session, center.url, publisher.key)
            there = set(numbers)
            found.lost += [f"{publisher.key}={n}" for n in publisher.acknowledged if n not in there]
            found.doubled += [f"{publisher.key}={n}" for n in there if numbers.count(n) > 1]
    return found


async def numbers_of(session: aiohttp.ClientSession, base: str, key: str) -> list[int]:
    """The content of every version of a key, oldest first."""
    async with session.get(f"{base}{NS}/keys/{key}/versions?limit=1000") as response:
        versions = sorted(item["version"] for item in (await response.json())["items"])
    numbers = []
    for version in versions:
        async with session.get(f"{base}{NS}/keys/{key}?version={version}") as response:
            assert response.status == 200, await response.text()
            numbers.append((await response.json())["value"])
    return numbers


async def kill_now_and_then(
    center: CenterProcess, publishers: list[Publisher], kills: int, rng: random.Random
) -> list[str]:
    """Spread over the round: the center (and its store with it), or the store alone."""
    total = sum(publisher.numbers for publisher in publishers)
    moments = sorted(rng.sample(range(1, total * 9 // 10), kills))
    done = []
    for moment in moments:
        await until(lambda m=moment: sum(len(p.acknowledged) for p in publishers) >= m, WITHIN)
        await asyncio.sleep(rng.uniform(0.0, 0.01))
        if rng.random() < 0.5:
            await center.kill()
            await center.start()
            done.append(f"center at {moment}")
        elif center.kill_store():
            done.append(f"store at {moment}")
    return done


@pytest.mark.no_cover
@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    async with center_process(tmp_path / "data") as center:
        publishers = [
            Publisher(center, f"k{n}", EACH, True, random.Random(rng.random()))
            for n in range(PUBLISHERS)
        ]
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            killing = group.create_task(kill_now_and_then(center, publishers, KILLS, rng))
            for publisher in publishers:
                group.create_task(publisher.run())
        found = await check(center, publishers)
        values = await read_from_outside(center, tmp_path / "state")
        assert fsync_of(center) == "always"

    print(
        f"seed {SEED}: {PUBLISHERS * EACH} acknowledged in "
        f"{sum(p.attempts for p in publishers)} attempts, killed {killing.result()}, "
        f"lost {found.lost}, doubled {found.doubled}"
    )
    assert len(killing.result()) >= KILLS // 2, "too few kills to say anything"
    assert found == Found()
    assert values == {f"k{n}": EACH for n in range(PUBLISHERS)}


@pytest.mark.no_cover
@pytest.mark.timeout(240)
async def test_the_variant_without_the_key_is_caught(tmp_path: Path) -> None:
    """The same checker on publishers that ask again without saying that it is again."""
    rng = random.Random(SEED)
    async with center_process(tmp_path / "data") as center:
        publishers = [
            Publisher(center, f"k{n}", EACH, False, random.Random(rng.random())) for n in range(4)
        ]
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            for publisher in publishers:
                group.create_task(publisher.run())
        found = await check(center, publishers)

    assert found.doubled, f"seed {SEED}: nothing was doubled, so the checker proves nothing"


async def read_from_outside(center: CenterProcess, home: Path) -> dict[str, int]:
    """What a client gets, which verifies signatures, the chain and the state."""
    async with Client.connect(
        center.url, instance="checker", token=center.token, state=home, timeout=30.0
    ) as client:
        return {f"k{n}": client.get(f"k{n}", None) for n in range(PUBLISHERS)}


def fsync_of(center: CenterProcess) -> str:
    """How the private store, which runs now, writes its log."""
    with redis.Redis(unix_socket_path=center.store_socket, decode_responses=True) as store:
        return str(store.config_get("appendfsync")["appendfsync"])
