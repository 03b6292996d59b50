"""A failover by real sentinels: nothing acknowledged is lost, and everybody follows the master."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import redis.asyncio as redis

from client_sdk import Client
from client_sdk.steps import Timing
from config_center.access import Actor
from config_center.ledger.words import Mode
from config_center.problems import Problem
from config_center.publishing import Put
from tests.config_center.api.world import center
from tests.sentinels import Watched, watched
from tests.until import until

ADMIN = Actor("test", "admin")
QUICK = Timing(silence=0.5, pong=0.3, check=0.3, report=0.1)
PATIENCE = 60.0


async def replicated(service: Watched) -> None:
    """Until every sentinel knows of the replica and of the others."""
    for host in service.url.split("://")[1].partition("/")[0].split(","):
        sentinel = redis.Redis.from_url(f"redis://{host}")
        await until_well(sentinel)
        # One that stood still for 2 s only looks on for a while (its TILT): for 30 s, else.
        await sentinel.execute_command("SENTINEL", "DEBUG", "tilt-period", 3000)
        await sentinel.aclose()


async def until_well(sentinel: redis.Redis) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(redis.ConnectionError):  # it begins
                (master,) = (await sentinel.sentinel_masters()).values()
                if master["num-slaves"] == 1 and master["num-other-sentinels"] == 2:
                    return


async def test_a_failover_loses_nothing_that_was_acknowledged_and_everybody_follows(
    tmp_path: Path,
) -> None:
    with watched() as service:
        await replicated(service)
        async with center(tmp_path / "data", redis=service.url) as opened:
            trust = str(tmp_path / "data" / "trust.json")
            ledger = opened.registry.get("default")
            async with Client.connect(
                service.url, instance="gw", state=tmp_path / "gw", trust=trust, timeout=30.0,
                timing=QUICK,
            ) as client:  # fmt: skip
                acknowledged: list[int] = []

                async def publish(number: int) -> None:
                    put = Put(value=number, idempotency_key=f"change-{number}")
                    while True:
                        with contextlib.suppress(Problem):
                            await opened.service.put("default", "k", put, ADMIN)
                            acknowledged.append(number)
                            return
                        await until(lambda: ledger.mode is Mode.READY, PATIENCE)

                for number in range(1, 6):
                    await publish(number)
                await until(lambda: client.get("k") == 5)
                before = ledger.state.position

                service.master.kill()
                async with asyncio.timeout(PATIENCE):
                    for number in range(6, 11):
                        await publish(number)
                    await until(lambda: client.get("k") == 10, PATIENCE)

                versions = await opened.service.versions("default", "k", 100, None)
                after = ledger.state.position

    assert acknowledged == list(range(1, 11))
    assert [row["version"] for row in versions["items"]] == list(range(10, 0, -1))
    assert after.e > before.e
