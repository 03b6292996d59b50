"""A Redis Cluster of three masters for one test, and the tools to move a slot by hand."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from benchmarks.processes import free_port
from client_sdk.transports.cluster import slot_of
from tests.redis_server import Server, wheel

_SLOTS = 16_384
_BUS = 10_000  # a node's second port lies this far above its first


class Node:
    """One server of a cluster; ``raw`` is a plain client of it."""

    def __init__(self, home: Path, binary: str, port: int, *more: str, tls: bool) -> None:
        home.mkdir()
        arguments = [
            *("--tls-port" if tls else "--port", str(port), "--bind", "127.0.0.1"),
            *("--cluster-enabled", "yes"),
            *("--cluster-config-file", str(home / "nodes.conf"), "--cluster-node-timeout", "3000"),
            *more,
        ]
        self.port = port
        self.server = Server(home, binary, *arguments)
        self.server.start()
        self.raw = redis.Redis.from_url(self.server.url)
        self.id = ""

    async def close(self) -> None:
        """Let go of it, and end it."""
        await self.raw.aclose()
        self.server.kill()

    async def say(self, *words: Any) -> Any:
        return await self.raw.execute_command(*words)


class Cluster:
    """``url`` names the nodes; a slot belongs to the node that :meth:`owner` says."""

    def __init__(self, nodes: list[Node], *, tls: bool) -> None:
        self.nodes = nodes
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        self.url = f"{'rediss' if tls else 'redis'}+cluster://{hosts}"

    async def form(self) -> None:
        """Meet, share out the slots, and wait until every node says that all is well."""
        share = _SLOTS // len(self.nodes)
        for at, node in enumerate(self.nodes):
            node.id = (await node.say("CLUSTER", "MYID")).decode()
            last = _SLOTS - 1 if node is self.nodes[-1] else (at + 1) * share - 1
            await node.say("CLUSTER", "ADDSLOTSRANGE", at * share, last)
            await node.say("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for node in self.nodes[1:]:
            await node.say("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        await self.settled()

    async def add_replica(self, master: Node, replica: Node) -> None:
        """``replica`` joins, and has what ``master`` has."""
        await replica.say("CLUSTER", "MEET", "127.0.0.1", master.port)
        self.nodes.append(replica)
        await self.settled()
        await replica.say("CLUSTER", "REPLICATE", master.id)
        async with asyncio.timeout(30):
            while (await replica.raw.info("replication")).get("master_link_status") != "up":
                pass

    async def settled(self) -> None:
        """Until every node knows all others and serves."""
        async with asyncio.timeout(30):
            for node in self.nodes:
                while not await self._is_well(node):
                    pass

    async def _is_well(self, node: Node) -> bool:
        with contextlib.suppress(RedisError):
            info = (await node.say("CLUSTER", "INFO")).decode()
            return "cluster_state:ok" in info and f"known_nodes:{len(self.nodes)}" in info
        return False

    async def owner(self, ns: str) -> Node:
        """Who serves the slot of ``ns``, by its own word; while it is handed over, nobody does."""
        async with asyncio.timeout(20):
            while True:
                for node in self.nodes:
                    if await self._owns(node, slot_of(ns)):
                        return node

    async def _owns(self, node: Node, slot: int) -> bool:
        return any(
            first <= slot <= last and port == node.port
            for first, last, (_, port, *_), *_ in await node.say("CLUSTER", "SLOTS")
        )

    async def begin_move(self, ns: str, target: Node) -> Node:
        """Open the slot on both sides; the node it leaves."""
        slot, source = slot_of(ns), await self.owner(ns)
        await target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        await source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return source

    async def move_keys(
        self, ns: str, source: Node, target: Node, rng: random.Random, per_key: float = 0.0
    ) -> int:
        """
        Key by key, in any order, as the tools of Redis do, ``per_key`` seconds at most for each;
        how many there were.
        """
        moved = 0
        while names := await source.say("CLUSTER", "GETKEYSINSLOT", slot_of(ns), 100):
            rng.shuffle(names)
            for name in names:
                await source.say("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
                await asyncio.sleep(rng.random() * per_key)
                moved += 1
        return moved

    async def move_whole(self, ns: str, source: Node, target: Node) -> None:
        """As Valkey 9 does it by itself: in one piece; until everyone knows."""
        slot = slot_of(ns)
        await source.say("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        async with asyncio.timeout(30):
            while await self.owner(ns) is not target:
                pass

    async def end_move(self, ns: str, target: Node) -> None:
        """Tell everyone who owns the slot now, the new owner first."""
        for node in (target, *(each for each in self.nodes if each is not target)):
            await node.say("CLUSTER", "SETSLOT", slot_of(ns), "NODE", target.id)


def port_of_a_node() -> int:
    """A port whose bus port is free too."""
    return free_port(beside=_BUS)


@contextlib.asynccontextmanager
async def clustered(
    binary: str | None = None, *more: str, tls: bool = False
) -> AsyncIterator[Cluster]:
    """
    A cluster that runs inside the block; ``more`` are arguments of each node, those of ``tls`` too.
    """
    async with contextlib.AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cc-")))
        nodes = []
        for at in range(3):
            node = Node(home / str(at), binary or wheel(), port_of_a_node(), *more, tls=tls)
            stack.push_async_callback(node.close)
            nodes.append(node)
        cluster = Cluster(nodes, tls=tls)
        await cluster.form()
        yield cluster
