"""Faults of a master and its replica."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from tests.faults.kinds.base import Fault
from tests.faults.world import World


class StaleReplica(Fault):
    number = "F11"
    what = "the replica falls behind, the master dies, the replica is promoted"
    replica = True

    async def inject(self, world: World) -> None:
        assert world.link is not None
        assert world.replica is not None
        world.link.blackhole()
        await world.traffic.reach(world.scale.before // 3)
        world.server.kill()
        async with world.raw(world.replica) as raw:
            await raw.execute_command("REPLICAOF", "NO", "ONE")
        world.point_to(world.replica)


class SplitBrain(Fault):
    number = "F13"
    what = "the master freezes, the replica is promoted, the old master wakes and goes on"
    replica = True
    ack_replicas = 1

    async def inject(self, world: World) -> None:
        assert world.link is not None
        assert world.replica is not None
        world.server.signal(signal.SIGSTOP)
        async with world.raw(world.replica) as raw:
            await raw.execute_command("REPLICAOF", "NO", "ONE")
        world.reading.backend = str(world.replica.socket)
        world.reading.cut()
        world.server.signal(signal.SIGCONT)
        await world.sleep(10, 20)  # writers are still bound to the old master
        await asyncio.sleep(0.5)
        async with world.raw() as old, world.raw(world.replica) as new:
            port = await _listen(new)
            await old.execute_command("REPLICAOF", "127.0.0.1", port)  # as sentinels demote it
            world.point_to(world.replica)
            # Healed is a master with the replica that every acknowledgement waits for.
            async with asyncio.timeout(30):
                while not await _has_replica(new):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def _has_replica(server: Any) -> bool:
    told = await server.info("replication")
    return bool(told.get("slave0", {}).get("state") == "online")


async def _listen(server: Any) -> int:
    from benchmarks.processes import free_port

    port = free_port()
    await server.config_set("bind", "127.0.0.1")
    await server.config_set("port", port)
    return port
