"""Faults of the server that keeps the present."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.faults.disks import cannot_mount, resize, small_disk
from tests.faults.kinds.base import Fault
from tests.faults.world import World
from tests.until import until


class KilledStore(Fault):
    number = "F2"
    what = "kill -9 of the store, three times, restarted"

    async def inject(self, world: World) -> None:
        for _ in range(3):
            world.server.kill()
            await world.sleep(0.1, 1.0)
            await asyncio.to_thread(world.server.start)
            await world.traffic.reach(world.rng.randint(5, 20))


class TwoAdopt(KilledStore):
    number = "F16"
    what = "the same with two centers, which both see the new history"
    centers = 2


class PowerLoss(Fault):
    number = "F3"
    what = "power loss: the end of the append-only file is gone"

    async def inject(self, world: World) -> None:
        world.server.kill()
        log = append_only_file(world)
        with log.open("r+b") as file:
            size = log.stat().st_size
            file.truncate(size - world.rng.randint(size // 20, size // 4))
        await asyncio.to_thread(world.server.start)


class TornMiddle(Fault):
    number = "F4"
    what = "the append-only file is damaged in the middle: the store does not start, or lies"

    async def inject(self, world: World) -> None:
        world.server.kill()
        log = append_only_file(world)
        whole = await asyncio.to_thread(log.read_bytes)
        half = len(whole) // 2
        await asyncio.to_thread(log.write_bytes, whole[:half] + b"\xff" * 40 + whole[half + 40 :])
        with contextlib.suppress(TimeoutError):  # it starts where the damage lies in a value
            await asyncio.to_thread(world.server.start, 1.0)
        promised = 20 * world.scale.slow + 2
        try:
            await until(world.system.says_stale, promised)
        except TimeoutError:
            world.untold.append(f"silent: nobody said within {promised:.0f} s that it is stale")
        world.server.kill()
        await asyncio.to_thread(log.write_bytes, whole)  # the backup
        await asyncio.to_thread(world.server.start)


class FullMemory(Fault):
    number = "F9"
    what = "the store's memory is full (noeviction)"

    async def inject(self, world: World) -> None:
        async with world.raw() as raw:
            await raw.config_set("maxmemory", "1mb")
            await world.sleep(5, 10)
            await raw.config_set("maxmemory", "0")


class FullDisk(Fault):
    number = "F7"
    what = "the store's disk is full: it ends, and comes back with a larger one"

    def cannot(self) -> str:
        return cannot_mount()

    async def inject(self, world: World) -> None:
        home = world.server.home / "appendonlydir"
        world.server.kill()
        used = sum(file.stat().st_size for file in home.iterdir())
        world.cleaning.enter_context(small_disk(home, used + 200_000))
        await asyncio.to_thread(world.server.start)
        await until(lambda: world.server.ended, 60.0)
        resize(home, used + 64_000_000)
        await asyncio.to_thread(world.server.start)


class Flushed(Fault):
    number = "F12"
    what = "FLUSHALL, and a person who restores"

    async def inject(self, world: World) -> None:
        async with world.raw() as raw:
            await raw.flushall()
        await world.system.restore()


def append_only_file(world: World) -> Path:
    """The file that grows at every write."""
    return next((world.server.home / "appendonlydir").glob("*.incr.aof"))
