"""The driver: one path at a time, states served in order, the newest wins."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from client_sdk import driver
from client_sdk.driver import Driver, Pending
from client_sdk.errors import ConfigError, TransportDown
from client_sdk.replica import Replica
from client_sdk.route import Pace
from client_sdk.steps import Advance, Timing
from client_sdk.waiting import undisturbed
from tests.client_sdk.wire import Wire, no_list
from tests.history import History, put, verifier
from tests.until import until

TIMING = Timing(silence=0.05, pong=0.05, report=0.05)
PACE = Pace(base=0.001, cap=0.002, steady=5.0, proof=0.05)
WITHIN = 30.0


class World:
    """A driver over wires, and what it served."""

    def __init__(self, *paths: list[Wire], pace: Pace = PACE) -> None:
        self.served: list[Pending] = []
        self.complaints: list[str] = []
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None
        self._paths = paths
        self.replica = Replica("ns", verifier(), timing=TIMING)
        self.driver = Driver(
            self.replica,
            [lambda wires=wires: wires.pop(0) if len(wires) > 1 else wires[0] for wires in paths],
            self._serve,
            self.complaints.append,
            no_list,
            pace=pace,
            rng=random.Random(1),
        )

    async def _serve(self, pending: Pending) -> None:
        self.served.append(pending)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.driver.start()
        try:
            yield
        finally:
            await self.driver.close()


async def test_news_is_there_once_everything_was_read_and_served() -> None:
    history = History()
    world = World([Wire(history)])
    world.gate = asyncio.Event()
    async with world.running():
        await until(lambda: world.served)
        assert not world.driver.news.is_set()
        world.gate.set()
        await asyncio.wait_for(world.driver.news.wait(), WITHIN)

    assert world.driver.head == history.head


async def test_news_is_not_there_before_what_was_missed_is_served() -> None:
    history = History()
    world = World([Wire(history)])
    world.replica.state, world.replica.mark = history.state, world.replica.mark
    history.add(put("k", 1))

    async with world.running():
        await asyncio.wait_for(world.driver.news.wait(), WITHIN)

        assert world.served[-1].state.position == history.state.position


async def test_what_comes_while_one_is_served_is_one_more_step() -> None:
    history = History()
    wire = Wire(history)
    world = World([wire])
    async with world.running():
        await until(lambda: world.served)
        world.gate = asyncio.Event()
        wire.send(history.add(put("a", 1)))
        await until(lambda: len(world.served) == 2)
        for number in (1, 2):
            wire.send(history.add(put("b", number, number)))
        await until(lambda: world.driver.head == history.head)
        world.gate.set()
        await until(lambda: len(world.served) == 3)

    last = world.served[-1]
    assert (last.state.position, last.changed) == (history.state.position, {"b"})
    assert [record.position.v for record in last.records] == [3, 4]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell before 3.11")
async def test_a_cancellation_that_a_library_swallows_ends_the_follower_all_the_same() -> None:
    """A program that returns cancels each of its tasks once, and then waits for them."""
    wire = Wire(History())
    opening = asyncio.Event()

    async def swallow() -> None:
        opening.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise TransportDown("it was busy with something")

    wire.open = swallow  # type: ignore[method-assign]
    world = World([wire])
    async with world.running():
        await asyncio.wait_for(opening.wait(), WITHIN)
        follower = world.driver._tasks[0]
        follower.cancel()
        await asyncio.wait_for(asyncio.wait((follower,)), WITHIN)


async def test_a_change_that_cannot_be_served_stops_none_after_it() -> None:
    history = History()
    wire = Wire(history)
    world = World([wire])
    async with world.running():
        for failure in (ConfigError("no"), RuntimeError("bug"), None):
            world.failure = failure
            before = len(world.served)
            wire.send(history.add(put("k", before, before + 1)))
            await until(lambda before=before: len(world.served) > before)

    assert world.served[-1].state.position == history.state.position


async def test_what_could_not_be_served_is_tried_again_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The change after it was served alone, and a mixture of two changes nobody signed."""
    monkeypatch.setattr(driver, "_AGAIN", 0.001)
    history = History()
    history.add(put("a", 1), put("b", 1))
    wire = Wire(history)
    world = World([wire])
    async with world.running():
        await until(lambda: world.served)
        world.failure = RuntimeError("bug")
        wire.send(history.add(put("a", 2, 2)))
        await until(lambda: world.served[-1].state.position == history.state.position)
        world.failure = None
        wire.send(history.add(put("b", 2, 2)))
        await until(lambda: world.served[-1].state.position == history.state.position)

    # Every step after the one that failed covers it, until one did.
    assert all(pending.changed is None for pending in world.served[2:-1])
    assert any(pending.changed is None for pending in world.served[2:])


async def test_a_broken_path_is_taken_again() -> None:
    history = History()
    first, second = Wire(history), Wire(history)
    world = World([first, second])
    async with world.running():
        await until(lambda: world.served)
        history.add(put("k", 1))
        first.cut("reset")
        await until(lambda: len(world.served) == 2)
        assert world.driver.failure == "reset"

    assert not first.open_now
    assert [name for name in second.asked if name != "ping"] == ["open", "read_log", "close"]


async def test_a_path_that_failed_gives_way_and_is_taken_back_once_it_proved_itself() -> None:
    history = History()
    away, back, http = Wire(history), Wire(history, "redis"), Wire(history, "http")
    away.failures["open"] = TransportDown("refused")
    redis = [away]
    world = World(redis, [http])
    async with world.running():
        await until(lambda: world.served)
        assert away.asked[:2] == ["open", "close"]
        assert world.driver.transport is http

        redis[:] = [back]
        await until(lambda: world.driver.transport is back)
        await until(lambda: "read_log" in back.asked)
        back.send(history.add(put("k", 1)))
        await until(lambda: len(world.served) == 2)

    assert not http.open_now
    assert not back.open_now
    positions = [pending.state.position for pending in world.served]
    assert positions == sorted(set(positions))


async def test_a_path_that_is_behind_is_left_at_once_and_complained_of() -> None:
    ahead, behind = History(), History()
    ahead.add(put("k", 1))
    stale, good = Wire(behind, "stale"), Wire(ahead, "good")
    pace = replace(PACE, proof=60.0)  # nobody is back on the stale one before we looked
    world = World([stale], [good], pace=pace)
    world.replica.state = None
    world.replica.mark = type(world.replica.mark)(ahead.state.position, ahead.state.c)
    async with world.running():
        await until(lambda: world.served)

        assert world.served[0].state.position == ahead.state.position
        assert world.complaints == ["the store is behind this client"]


async def test_a_path_that_fails_in_a_way_nobody_thought_of_is_tried_again() -> None:
    history = History()
    odd, good = Wire(history), Wire(history)
    odd.failures["open"] = RuntimeError("bug")
    world = World([odd, good])
    async with world.running():
        await until(lambda: world.served)

        assert world.driver.failure == "RuntimeError: bug"


class Lingering(Wire):
    """Its close takes longer than whoever ends a task waits before he asks again."""

    async def close(self) -> None:
        try:
            await undisturbed(asyncio.ensure_future(asyncio.sleep(0.05)))
        finally:
            await super().close()


@pytest.mark.parametrize("kind", [Wire, Lingering])
async def test_closing_leaves_nothing_open_also_while_it_scouts(kind: type[Wire]) -> None:
    history = History()
    redis, http = kind(history, "redis"), Wire(history, "http")
    redis.failures["open"] = TransportDown("refused")
    world = World([redis], [http])
    async with world.running():
        await until(lambda: world.driver.transport is http)
        redis.failures.clear()
        await until(lambda: redis.open_now)

    assert (redis.open_now, http.open_now) == (False, False)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("config") for name in names)


def test_steps_merge_into_the_later_state_with_all_their_records() -> None:
    history = History()
    first = Advance(history.state, history.head)
    records = []
    states = []
    for number in (1, 2):
        records.append(history.add(put("ab"[number - 1], number)))
        states.append(history.state)
    one = Pending.of(Advance(states[0], records[0], (records[0],)), None)
    two = Pending.of(Advance(states[1], records[1], (records[1],)), {"dek": "k:A"})

    both = one.then(two)
    jump = Pending.of(first, {"old": "k:B"}).then(one)

    assert both == Pending(states[1], records[1], tuple(records), frozenset("ab"), {"dek": "k:A"})
    assert jump == Pending(states[0], records[0], (), None, {"old": "k:B"})
