"""Faults between a command and its answer."""

from __future__ import annotations

import asyncio
import contextlib

import redis.asyncio as redis

from tests.faults.kinds.base import Fault
from tests.faults.world import World
from tests.until import until


class LostReplies(Fault):
    number = "F6"
    what = "the script was carried out and its reply never came, ten times"
    broken = "no-key"

    async def inject(self, world: World) -> None:
        for _ in range(10):
            world.store.lose_replies("EVALSHA")
            await until(lambda: world.store.still_to_lose == 0, 30.0)
            await world.traffic.reach(1)


class GivenUp(Fault):
    number = "F29"
    what = "a third of the publishers give up in the middle and ask again"
    broken = "no-key"

    async def inject(self, world: World) -> None:
        world.traffic.impatience = 0.33
        await world.traffic.reach(world.scale.before)
        world.traffic.impatience = 0.0


class Torn(Fault):
    number = "F28"
    what = "the clients' connections end after any number of bytes"

    async def inject(self, world: World) -> None:
        for _ in range(10):
            world.reading.end_after = world.rng.randint(1, 4000)
            world.reading.cut()
            await world.traffic.reach(3)
        world.reading.end_after = None
        world.reading.cut()


class RefusedWrites(Fault):
    number = "F30"
    what = "SCRIPT FLUSH, then the store is READONLY for a while, then BUSY"

    async def inject(self, world: World) -> None:
        async with world.raw() as raw:
            await raw.script_flush()
            await world.traffic.reach(5)
            await raw.execute_command("REPLICAOF", "127.0.0.1", "1")
            await world.sleep(2, 5)
            await raw.execute_command("REPLICAOF", "NO", "ONE")
            await world.traffic.reach(5)
            await raw.config_set("busy-reply-threshold", 50)
            busy = asyncio.create_task(_spin(world))
            await world.sleep(2, 5)
            with contextlib.suppress(redis.ResponseError):  # it may have ended by itself
                await raw.script_kill()
            await busy


async def _spin(world: World) -> None:
    async with world.raw() as raw:
        with contextlib.suppress(redis.RedisError):
            await raw.eval("local n = 0 while n < 1e8 do n = n + 1 end", 0)
