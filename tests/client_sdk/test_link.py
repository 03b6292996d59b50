"""One path, followed: what arrives reaches the replica, what it asks for is read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from client_sdk.errors import NotVerified, TransportDown
from client_sdk.image import Image, Ring
from client_sdk.link import Link
from client_sdk.records import Position, Record
from client_sdk.replica import Replica
from client_sdk.signing import TrustList
from client_sdk.steps import Advance, Timing
from client_sdk.transports.base import Pong, Subscribed
from client_sdk.waiting import ended
from tests.client_sdk.wire import Wire
from tests.history import ROOT, History, put, verifier
from tests.until import until

QUICK = Timing(silence=0.05, pong=0.05, report=0.05)
WITHIN = 30.0


@dataclass
class World:
    """A link over a wire, and what it handed over."""

    wire: Wire
    timing: Timing = QUICK
    only: bool = True
    steps: list[tuple[Advance, Ring | None]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    caught_up: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.replica = Replica("ns", verifier(), timing=self.timing)
        self.link = Link(
            self.wire,
            self.replica,
            self._take,
            self._tell,
            self._count,
            self._renew,
            only=self.only,
        )

    async def _renew(self, document: bytes) -> None:
        self.replica.verifier.renew(TrustList.parse(document, ROOT.public))

    def _take(self, step: Advance, ring: Ring | None) -> None:
        self.steps.append((step, ring))
        self.more.set()

    def _tell(self, reason: str) -> None:
        self.told.append(reason)
        self.more.set()

    def _count(self) -> None:
        self.caught_up += 1
        self.more.set()

    async def until(self, condition: object) -> None:
        while not condition():  # type: ignore[operator]
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), WITHIN)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        await self.wire.open()
        task = asyncio.create_task(self.link.run())
        try:
            yield task
        finally:
            await ended(task)


async def test_a_newcomer_reads_the_whole_and_then_each_change() -> None:
    history = History()
    history.add(put("k", 1))
    world = World(Wire(history), Timing(silence=60.0))
    world.wire.ring = {"dek": "kek:AAAA"}

    async with world.running():
        await world.until(lambda: world.steps and world.caught_up)
        world.wire.send(history.add(put("k", 2, 2)))
        await world.until(lambda: len(world.steps) == 2)

    assert [(step.state.position, ring) for step, ring in world.steps] == [
        (Position(1, 2), {"dek": "kek:AAAA"}),
        (Position(1, 3), None),
    ]
    assert world.wire.asked == ["open", "read_image"]


async def test_it_is_not_caught_up_before_the_subscription_was_confirmed() -> None:
    history = History()
    world = World(Wire(history))
    world.replica.state = history.state
    following = asyncio.create_task(world.link.run())  # not opened: nothing was confirmed
    world.wire.say(Pong())
    world.wire.cut()
    await asyncio.wait((following,), timeout=WITHIN)

    assert isinstance(following.exception(), TransportDown)
    assert world.caught_up == 0


async def test_a_missed_record_is_read_from_the_log() -> None:
    history = History()
    world = World(Wire(history))
    async with world.running():
        await world.until(lambda: world.steps)
        history.add(put("k", 1))
        world.wire.send(history.add(put("k", 2, 2)))
        await world.until(lambda: len(world.steps) == 2)

    assert world.steps[1][0].state.position == Position(1, 3)
    assert len(world.steps[1][0].records) == 2


async def test_a_body_that_was_announced_is_fetched() -> None:
    history = History()
    world = World(Wire(history))
    async with world.running():
        await world.until(lambda: world.steps)
        record = history.add(put("k", "long"))
        world.wire.send(Record(record.header, record.raw, record.sig, record.c, {}))
        await world.until(lambda: len(world.steps) == 2)

    assert "read_bodies" in world.wire.asked


async def test_silence_is_asked_about_and_no_answer_ends_the_link() -> None:
    world = World(Wire(History()))
    world.wire.deaf = True
    async with world.running() as task:
        with pytest.raises(TransportDown, match="PING"):
            await asyncio.wait_for(task, WITHIN)

    assert "ping" in world.wire.asked


async def test_an_answered_ping_keeps_the_link_and_shows_a_silent_center() -> None:
    world = World(Wire(History()))
    async with world.running() as task:
        await world.until(lambda: world.replica.center_silent)
        assert not task.done()


async def test_a_broken_path_ends_the_link_and_forgets_the_read() -> None:
    history = History()
    world = World(Wire(history))
    async with world.running() as task:
        await world.until(lambda: world.steps)
        world.wire.cut("reset by peer")
        with pytest.raises(TransportDown, match="reset by peer"):
            await asyncio.wait_for(task, WITHIN)

    assert not world.replica.catching_up


async def test_a_read_that_fails_ends_the_link_with_its_reason() -> None:
    world = World(Wire(History()))
    world.wire.failures["read_image"] = TransportDown("busy", retry_after=3.0)
    async with world.running() as task:
        with pytest.raises(TransportDown, match="busy") as caught:
            await asyncio.wait_for(task, WITHIN)

    assert caught.value.retry_after == 3.0
    assert world.steps == []


def damaged(history: History) -> Image:
    return Image(replace(history.head, bodies={}), ())


async def test_a_damaged_store_is_told_and_left_when_there_is_another_path() -> None:
    history = History()
    history.add(put("k", 1))
    world = World(Wire(history), only=False)
    world.wire.shown = damaged(history)
    async with world.running() as task:
        with pytest.raises(TransportDown, match="hash") as caught:
            await asyncio.wait_for(task, WITHIN)

    assert caught.value.permanent
    assert len(world.told) == 1
    assert world.steps == []


async def test_a_damaged_store_that_is_the_only_path_is_watched_until_it_is_whole() -> None:
    history = History()
    history.add(put("k", 1))
    world = World(Wire(history))
    world.wire.failures["read_image"] = NotVerified("a row is torn")
    async with world.running() as task:
        await world.until(lambda: world.told)
        assert world.replica.tampered
        world.wire.failures.clear()
        await world.until(lambda: world.steps)
        assert not task.done()

    assert not world.replica.tampered


async def test_bodies_that_are_missing_are_looked_for_again_and_then_said() -> None:
    history = History()
    record = history.add(put("k", "long"))
    entry = history.state.entries["k"]
    bare = replace(entry, content=replace(entry.content, body=None))
    world = World(Wire(history))
    world.wire.shown = Image(replace(history.head, bodies={}), (bare,))
    async with world.running():
        await until(lambda: world.replica.tampered)
        assert world.wire.asked.count("read_image") >= 3
        assert world.steps == []
        world.wire.shown = None
        await world.until(lambda: world.steps)

    assert world.steps[0][0].head.position == record.position


async def test_an_older_store_is_told_and_never_taken_in() -> None:
    history = History()
    old = Image(replace(history.head, bodies={}), ())
    history.add(put("k", 1))
    world = World(Wire(history))
    async with world.running():
        await world.until(lambda: world.steps)
        world.wire.shown = old
        world.wire.history = History()
        world.replica.state = None
        world.wire.say(Subscribed())
        await world.until(lambda: world.told)

    assert len(world.steps) == 1


async def test_it_follows_until_it_is_asked_to_stop() -> None:
    history = History()
    world = World(Wire(history))
    await world.wire.open()
    enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(world.link.run(enough))
    await world.until(lambda: world.steps)

    enough.set_result(None)

    await asyncio.wait_for(task, WITHIN)


async def test_ended_waits_for_a_task_that_swallows_its_cancellation() -> None:
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while asked < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                asked += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await asyncio.wait_for(ended(task, None), WITHIN)

    assert task.done()
    assert asked == 2
