"""The servers of one round and the networks to them: what a fault lays hands on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import redis.asyncio as redis

from benchmarks.processes import free_port
from client_sdk.testing import FaultyRedis, FaultyTcp, Weather
from tests.faults.scale import Scale
from tests.faults.systems.base import System
from tests.faults.traffic import Traffic
from tests.redis_server import Server, running, wheel
from tests.until import until


@dataclass
class World:
    """
    ``server`` is reached by publishers through ``store`` and by clients through ``reading``; its
    ``replica``, where there is one, follows it through ``link``. ``noticed``: seconds until every
    client knew of a dead link; ``untold``: what should have been said and was not.
    """

    server: Server
    store: FaultyRedis
    reading: FaultyRedis
    scale: Scale
    rng: random.Random
    link: FaultyTcp | None = None
    replica: Server | None = None
    system: System = None  # type: ignore[assignment]  # entered after the servers
    traffic: Traffic = None  # type: ignore[assignment]
    noticed: float | None = None
    untold: list[str] = field(default_factory=list)
    cleaning: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    async def sleep(self, shortest: float, longest: float) -> None:
        """Somewhere between two times, stretched by the scale."""
        await asyncio.sleep(self.rng.uniform(shortest, longest) * self.scale.slow)

    @contextlib.asynccontextmanager
    async def raw(self, server: Server | None = None) -> AsyncIterator[redis.Redis]:
        """The server itself, around the networks."""
        client = redis.Redis.from_url((server or self.server).url)
        try:
            yield client
        finally:
            await client.aclose()

    async def notice(self) -> None:
        """Wait until every client knows that its link is dead, not longer than is promised."""
        promised = 3.5 * self.scale.slow + 2 * (1 - self.scale.slow)
        begun = asyncio.get_running_loop().time()
        try:
            await until(self.system.has_noticed, promised)
            self.noticed = asyncio.get_running_loop().time() - begun
        except TimeoutError:
            self.untold.append(f"silent: a dead link was not noticed within {promised:.1f} s")

    def point_to(self, server: Server) -> None:
        """The address of the service moves, and what is connected is cut."""
        for network in (self.store, self.reading):
            network.backend = str(server.socket)
            network.cut()


@contextlib.asynccontextmanager
async def world(scale: Scale, rng: random.Random, *, replica: bool = False) -> AsyncIterator[World]:
    """Servers and networks that are there inside the block."""
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        at_once = ["--repl-diskless-sync-delay", "0"]
        more = ["--port", str(port), "--bind", "127.0.0.1", *at_once]
        server = stack.enter_context(running(None, *(more if replica else ())))
        cleaning = stack.enter_context(contextlib.ExitStack())
        weather = Weather()
        store = FaultyRedis(str(server.socket), rng=rng, weather=weather)
        reading = FaultyRedis(str(server.socket), rng=rng, weather=weather)
        for network in (store, reading):
            await stack.enter_async_context(network)
        made = World(server, store, reading, scale, rng, cleaning=cleaning)
        if replica:
            made.link = await stack.enter_async_context(FaultyTcp(f"127.0.0.1:{port}"))
            made.replica = stack.enter_context(
                running(wheel(), "--replicaof", "127.0.0.1", str(made.link.port), *at_once)
            )
            await _until_followed(made)
        yield made


async def _until_followed(made: World) -> None:
    async with made.raw() as master, asyncio.timeout(20):
        while (await master.info("replication")).get("slave0", {}).get("state") != "online":
            pass
