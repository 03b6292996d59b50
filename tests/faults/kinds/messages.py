"""Faults of the channel: messages and subscribers."""

from __future__ import annotations

import asyncio

from client_sdk.testing import Weather
from tests.faults.kinds.base import Fault
from tests.faults.world import World


class BadWeather(Fault):
    number = "F17"
    what = "messages lost 20 %, doubled 10 %, overtaken 10 %, delayed"

    async def inject(self, world: World) -> None:
        world.reading.weather = Weather(0.2, 0.1, 0.1, (0.0, 0.01))
        await world.traffic.reach(world.scale.before)
        world.reading.weather = Weather()


class KilledSubscribers(Fault):
    number = "F18"
    what = "CLIENT KILL TYPE pubsub, five times"

    async def inject(self, world: World) -> None:
        async with world.raw() as raw:
            for _ in range(5):
                await raw.client_kill_filter(_type="pubsub")
                await world.traffic.reach(world.rng.randint(3, 12))


class NoRoom(Fault):
    number = "F25"
    what = "every connection is cut, and the store has no room for all (maxclients)"

    async def inject(self, world: World) -> None:
        async with world.raw() as raw:
            await raw.config_set("maxclients", "5")
            world.reading.cut()
            await world.sleep(5, 10)
            await asyncio.sleep(0.3)
            await raw.config_set("maxclients", "10000")
