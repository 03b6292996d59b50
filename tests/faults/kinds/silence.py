"""Faults without an error: the connection is there and nothing comes."""

from __future__ import annotations

import signal

from client_sdk.testing.proxy import TO_CLIENT
from tests.faults.kinds.base import Fault
from tests.faults.world import World


class Frozen(Fault):
    number = "F5"
    what = "SIGSTOP of the store"

    async def inject(self, world: World) -> None:
        world.server.signal(signal.SIGSTOP)
        await world.notice()
        world.server.signal(signal.SIGCONT)


class OneWay(Fault):
    number = "F27"
    what = "a black hole in one direction: from the store to the clients"

    async def inject(self, world: World) -> None:
        world.reading.blackhole(TO_CLIENT)
        await world.notice()
        await world.traffic.reach(world.scale.before // 4)
        world.reading.heal()
