"""A real client follows a center in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from client_sdk import Client, Unavailable
from client_sdk.errors import InvalidValue
from client_sdk.route import Pace
from client_sdk.steps import Timing
from client_sdk.sync import Client as SyncClient
from client_sdk.testing import MemoryCenter
from tests.until import until

PACE = Pace(base=0.001, cap=0.01)


async def test_a_publish_reaches_a_listener_and_a_module() -> None:
    heard: list[tuple[Any, str]] = []
    async with MemoryCenter({"prompt": "hello"}) as center, center.connect() as client:
        client.on_change("prompt")(lambda change: heard.append((change.value, change.reason)))
        client.module("prompt", build=lambda settings, _: {"prompt": settings})
        await client.ready()

        center.publish("prompt", "hi")
        await center.served(client)

        async with client.turn(client.unit("device")) as view:
            module = view.module("prompt")
        status = client.status()

    assert heard == [("hello", "start"), ("hi", "publish")]
    assert module == {"prompt": "hi"}
    assert (status.transport, status.position) == ("memory", center.position)


async def test_several_values_are_one_change_and_a_removed_key_is_gone() -> None:
    async with MemoryCenter() as center, center.connect(defaults={"a": 0}) as client:
        before = center.position
        center.publish_all({"a": 1, "b": 2})
        await center.served(client)
        both = client.get("a"), client.get("b")
        center.remove("a")
        center.publish("text", "plain", format="text")
        await center.served(client)

        assert both == (1, 2)
        assert (client.get("a"), client.get("text")) == (0, "plain")
        assert center.position == (1, before.v + 3)
        with pytest.raises(InvalidValue, match="nothing was published"):
            center.remove("c")


async def test_a_canary_is_seen_by_its_units_until_it_is_promoted_or_aborted() -> None:
    async with MemoryCenter({"k": "old"}) as center, center.connect() as client:
        inside, outside = client.unit("chosen"), client.unit("other")

        async def seen() -> tuple[Any, Any]:
            await center.served(client)
            return inside.get("k"), outside.get("k")

        center.canary("try", {"k": "new"}, percent=0, allow=["chosen"])
        canary = await seen()
        center.abort("try")
        aborted = await seen()
        center.canary("again", {"k": "newer"}, percent=0, allow=["chosen"])
        center.promote("again")
        promoted = await seen()

        assert (canary, aborted, promoted) == (("new", "old"), ("old", "old"), ("newer", "newer"))
        with pytest.raises(InvalidValue, match="no canary"):
            center.promote("try")


async def test_a_center_that_goes_away_is_said_and_followed_again() -> None:
    async with MemoryCenter({"k": 1}, beat_every=0.02) as center:
        timing = Timing(silence=0.05)
        async with center.connect(timing=timing, pace=PACE, report_every=0.02) as client:
            await until(lambda: not client.status().stale)
            center.go_away()
            await until(lambda: client.status().stale)
            served = client.get("k")
            center.publish("k", 2)
            center.adopt()
            center.come_back()
            await center.served(client)

            assert (served, client.get("k")) == (1, 2)
            assert client.status().position.e == 2
            await until(lambda: center.reports)
    assert center.reports[0].instance == "test"


async def test_a_link_on_which_nobody_listens_is_dropped_and_taken_again() -> None:
    async with MemoryCenter({"k": 0}) as center, center.connect(pace=PACE) as client:
        for number in range(1500):  # more than the link holds, before the client gets its turn
            center.publish("k", number)
        await center.served(client, 60.0)

        assert client.get("k") == 1499


async def test_a_program_without_a_loop_is_served_from_this_one() -> None:
    async with MemoryCenter({"k": 1}) as center:
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()

        def program() -> Any:
            state = center._home.name + "/sync"
            with SyncClient.connect(center.url, instance="s", state=state) as client:

                @client.on_change("k")
                def changed(change: Any) -> None:
                    loop.call_soon_threadsafe(heard.set if change.value == 2 else center.publish,
                                              *(() if change.value == 2 else ("k", 2)))  # fmt: skip

                asyncio.run_coroutine_threadsafe(heard.wait(), loop).result(10.0)
                return client.get("k")

        assert await asyncio.to_thread(program) == 2


async def test_a_name_that_nobody_has_is_said() -> None:
    with pytest.raises(Unavailable, match="no MemoryCenter called 'nobody'"):
        await Client.connect("memory://nobody", instance="x", timeout=1.0, token="t")
