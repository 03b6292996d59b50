"""A Redis Cluster of real nodes: slots move and nodes die, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client_sdk import Client
from client_sdk.errors import SettingInvalid, TransportDown
from client_sdk.steps import Timing
from client_sdk.transports.base import Subscribed
from client_sdk.transports.redis import RedisTransport
from config_center.access import Actor
from config_center.center import Center
from config_center.ledger.keeper import Rhythm
from config_center.problems import Problem
from config_center.publishing import Put
from tests.clusters import Cluster, Node, clustered, port_of_a_node
from tests.config_center.api.world import center
from tests.redis_server import running, wheel
from tests.until import until

NS = "default"
ADMIN = Actor("test", "admin")
QUICK = Timing(silence=0.5, pong=0.3, check=0.3, report=0.1)
PATIENT = Rhythm(beat_every=0.1, ttl=10, guard_every=0.2, patience=3.0)
PER_KEY = 0.05  # seconds at most that a tool takes for one
KEYS = ("root.key", "signing.key", "trust.json", "secrets.key", "admin.token")

each_server = pytest.mark.parametrize(
    "binary",
    [
        pytest.param(None, id="valkey"),
        pytest.param("redis-server", id="redis", marks=pytest.mark.redis_server),
    ],
)


class Publisher:
    """
    Publishes one value after the other under ``key``, each until it is acknowledged, and counts
    every other answer. Some are so ``large`` that their bodies lie beside the record.
    """

    def __init__(self, center: Center, key: str = "k") -> None:
        self.large = True
        self.acknowledged: list[str] = []
        self.answers: collections.Counter[int] = collections.Counter()
        self.slowest = 0.0
        self._center, self._key = center, key
        self._enough = False

    async def publish(self) -> None:
        """The next value."""
        number = len(self.acknowledged) + 1
        value = f"{number}" + (" is large" * 2_000 if self.large and number % 5 == 0 else "")
        put = Put(value=value, idempotency_key=f"{self._key}-{number}")
        while True:
            began = time.monotonic()
            try:
                await self._center.service.put(NS, self._key, put, ADMIN)
            except Problem as problem:
                self.answers[problem.status] += 1
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.append(value)
                return
            finally:
                self.slowest = max(self.slowest, time.monotonic() - began)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Publishes all the time inside the block, and ends between two values."""

        async def work() -> None:
            while not self._enough:
                await self.publish()

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            self._enough = True
            await asyncio.wait_for(task, 30.0)

    @property
    def last(self) -> str:
        return self.acknowledged[-1]

    async def further(self, count: int) -> None:
        """Until so many more are acknowledged."""
        goal = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= goal)

    async def is_all_there(self) -> bool:
        """True when history holds exactly what was acknowledged, in this order."""
        rows = await self._center.service.versions(NS, self._key, 100_000, None)
        wanted = [(at, len(value) + 2) for at, value in enumerate(self.acknowledged, 1)]
        return [(row["version"], row["size"]) for row in reversed(rows["items"])] == wanted


@contextlib.asynccontextmanager
async def client(home: Path, url: str, name: str, timing: Timing = QUICK) -> AsyncIterator[Client]:
    trust = str(home / "data" / "trust.json")
    async with Client.connect(
        url, instance=name, state=home / name, trust=trust, timeout=20.0, timing=timing
    ) as connected:
        yield connected


async def moved_once(cluster: Cluster) -> None:
    """The slot of the namespace goes to another node, whole."""
    owner = await cluster.owner(NS)
    target = next(node for node in cluster.nodes if node is not owner)
    await cluster.begin_move(NS, target)
    await cluster.move_keys(NS, owner, target, random.Random(1))
    await cluster.end_move(NS, target)


def server(binary: str | None) -> str | None:
    return None if binary is None else shutil.which(binary)


@each_server
async def test_a_change_is_pushed_over_a_cluster(tmp_path: Path, binary: str | None) -> None:
    async with (
        clustered(server(binary)) as cluster,
        center(tmp_path / "data", redis=cluster.url) as opened,
    ):
        publisher = Publisher(opened)
        await publisher.publish()
        rare = Timing(check=3600.0)  # what nobody tells, it does not find
        async with client(tmp_path, cluster.url, "gw", rare) as follower:
            await until(lambda: not follower.status().stale)
            await publisher.publish()
            await until(lambda: follower.get("k") == "2")


@each_server
async def test_a_slot_that_moves_under_changes_loses_none_and_everybody_follows(
    tmp_path: Path, binary: str | None
) -> None:
    seed = random.randrange(2**32)
    rng, moved, rounds = random.Random(seed), 0, 5
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(clustered(server(binary)))
        opened = await stack.enter_async_context(
            center(tmp_path / "data", PATIENT, redis=cluster.url)
        )
        ledger = opened.registry.get(NS)
        publisher = Publisher(opened)
        await publisher.publish()
        followers = [
            await stack.enter_async_context(client(tmp_path, cluster.url, f"gw-{number}"))
            for number in range(3)
        ]
        before, began = ledger.state.position, time.monotonic()
        async with publisher.at_work():
            for _ in range(rounds):
                owner = await cluster.owner(NS)
                target = rng.choice([node for node in cluster.nodes if node is not owner])
                publisher.large = False
                await publisher.further(2)
                await cluster.begin_move(NS, target)
                # Every key that a change names is there, so open ends alone refuse nothing; only a
                # large body would be a new one.
                await publisher.further(3)
                publisher.large = True
                moved += await cluster.move_keys(NS, owner, target, rng, PER_KEY)
                await cluster.end_move(NS, target)
                await publisher.further(3)
        took = time.monotonic() - began
        for each in followers:
            await until(lambda each=each: each.get("k") == publisher.last)
        after, whole = ledger.state.position, await publisher.is_all_there()

    print(
        f"seed {seed}: {rounds} moves of {moved} keys in {took:.1f} s, "
        f"{len(publisher.acknowledged)} acknowledged, answers {dict(publisher.answers)}, "
        f"slowest {publisher.slowest * 1000:.0f} ms"
    )
    assert publisher.answers == {}
    assert whole
    assert after.e > before.e


async def test_a_slot_that_stays_half_moved_refuses_changes_and_leaves_none_in_doubt(
    tmp_path: Path,
) -> None:
    async with (
        clustered() as cluster,
        center(tmp_path / "data", redis=cluster.url) as opened,
    ):
        publisher = Publisher(opened)
        await publisher.publish()
        async with client(tmp_path, cluster.url, "gw") as follower:
            owner = await cluster.owner(NS)
            target = next(node for node in cluster.nodes if node is not owner)
            await cluster.begin_move(NS, target)
            await owner.say("MIGRATE", "127.0.0.1", target.port, "cc:{default}:log", 0, 5000)

            began = time.monotonic()
            with pytest.raises(Problem) as refused:
                await opened.service.put(NS, "k", Put(value="no"), ADMIN)
            took = time.monotonic() - began
            assert follower.get("k") == "1"

            await cluster.move_keys(NS, owner, target, random.Random(1))
            await cluster.end_move(NS, target)
            await publisher.publish()
            await until(lambda: follower.get("k") == "2")
            whole = await publisher.is_all_there()

    print(f"refused after {took * 1000:.0f} ms: {refused.value.detail}")
    assert (refused.value.status, 504 in publisher.answers) == (503, False)
    assert "moved" in refused.value.detail
    assert whole


@each_server
async def test_a_node_that_dies_with_its_slots_takes_no_changes_until_it_is_back(
    tmp_path: Path, binary: str | None
) -> None:
    async with (
        clustered(server(binary)) as cluster,
        center(tmp_path / "data", redis=cluster.url) as opened,
    ):
        publisher = Publisher(opened)
        await publisher.publish()
        async with client(tmp_path, cluster.url, "gw") as follower:
            owner = await cluster.owner(NS)
            owner.server.kill()
            began = time.monotonic()
            with pytest.raises(Problem) as refused:
                await opened.service.put(NS, "k", Put(value="no"), ADMIN)
            took = time.monotonic() - began
            await until(lambda: follower.status().stale)
            assert follower.get("k") == "1"

            await asyncio.to_thread(owner.server.start)
            await publisher.publish()
            await until(lambda: follower.get("k") == "2")
            whole = await publisher.is_all_there()

    print(f"refused after {took * 1000:.0f} ms, answers {dict(publisher.answers)}")
    assert refused.value.status == 503
    assert 504 not in publisher.answers
    assert whole


async def test_a_slot_that_the_server_moves_by_itself_loses_nothing(tmp_path: Path) -> None:
    async with (
        clustered() as cluster,
        center(tmp_path / "data", PATIENT, redis=cluster.url) as opened,
    ):
        publisher = Publisher(opened)
        await publisher.publish()
        async with client(tmp_path, cluster.url, "gw") as follower:
            async with publisher.at_work():
                for _ in range(3):
                    owner = await cluster.owner(NS)
                    target = next(node for node in cluster.nodes if node is not owner)
                    await cluster.move_whole(NS, owner, target)
                    await publisher.further(3)
            await until(lambda: follower.get("k") == publisher.last)
        whole = await publisher.is_all_there()

    print(f"answers {dict(publisher.answers)}, slowest {publisher.slowest * 1000:.0f} ms")
    assert whole
    assert 504 not in publisher.answers


async def test_a_replica_that_takes_over_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    async with (
        clustered() as cluster,
        center(tmp_path / "data", redis=cluster.url) as opened,
    ):
        owner = await cluster.owner(NS)
        replica = Node(tmp_path / "replica", wheel(), port_of_a_node(), tls=False)
        try:
            await cluster.add_replica(owner, replica)
            for node in cluster.nodes:  # soon, now that nobody needs the time to meet
                await node.say("CONFIG", "SET", "cluster-node-timeout", 1000)
            publisher = Publisher(opened)
            async with client(tmp_path, cluster.url, "gw") as follower:
                async with publisher.at_work():
                    await publisher.further(20)
                    owner.server.kill()
                    await publisher.further(20)
                await until(lambda: follower.get("k") == publisher.last)
            whole = await publisher.is_all_there()
        finally:
            await replica.close()

    print(f"answers {dict(publisher.answers)}, slowest {publisher.slowest * 1000:.0f} ms")
    assert whole


async def test_two_centers_on_a_cluster_form_one_line_while_its_slot_moves(
    tmp_path: Path,
) -> None:
    async with (
        clustered() as cluster,
        center(tmp_path / "data", redis=cluster.url) as one,
    ):
        (tmp_path / "other").mkdir(mode=0o700)
        for name in KEYS:
            shutil.copy2(tmp_path / "data" / name, tmp_path / "other" / name)
        async with center(tmp_path / "other", redis=cluster.url) as other:
            publishers = [Publisher(one, "one"), Publisher(other, "other")]
            for each in publishers:
                await each.publish()
            async with client(tmp_path, cluster.url, "gw") as follower:
                async with publishers[0].at_work(), publishers[1].at_work():
                    await moved_once(cluster)
                    for each in publishers:
                        await each.further(3)
                last = [each.last for each in publishers]
                await until(lambda: [follower.get("one"), follower.get("other")] == last)
            whole = [await each.is_all_there() for each in publishers]

    assert whole == [True, True]


async def test_the_owner_is_found_while_a_listed_node_is_away(tmp_path: Path) -> None:
    async with clustered() as cluster, center(tmp_path / "data", redis=cluster.url):
        away = f"redis+cluster://127.0.0.1:{port_of_a_node()}"
        for node in cluster.nodes:
            transport = RedisTransport(f"{away},127.0.0.1:{node.port}", NS)
            await transport.open()
            assert await transport.receive() == Subscribed()
            assert (await transport.read_image()).head.header.ns == NS
            await transport.close()

        with pytest.raises(TransportDown, match="connect"):
            await RedisTransport(away, NS).open()


async def test_a_node_of_a_cluster_is_not_taken_for_a_server_nor_the_other_way(
    tmp_path: Path,
) -> None:
    async with clustered() as cluster:
        for node in cluster.nodes:
            url = f"redis://127.0.0.1:{node.port}"
            with pytest.raises(TransportDown, match=r"write redis\+cluster://") as down:
                await RedisTransport(url, NS).open()
            assert down.value.permanent
            with pytest.raises(SettingInvalid, match=r"write redis\+cluster://"):
                async with center(tmp_path / "data", redis=url):
                    pass

    port = str(port_of_a_node())
    with running(None, "--port", port), pytest.raises(SettingInvalid, match="write redis://"):
        async with center(tmp_path / "data", redis=f"redis+cluster://127.0.0.1:{port}"):
            pass
