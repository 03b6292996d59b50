"""Pins from many threads: no module is closed in a reader's hands, no view is torn."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from tests.client_sdk.serving_world import Maker, World


@pytest.fixture
def many_switches():
    """Threads give way to each other 50 times as often as they would: races show sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before)


@pytest.mark.no_cover
@pytest.mark.usefixtures("many_switches")
async def test_no_object_is_closed_under_a_pin_and_no_view_is_torn():
    world, maker = World(), Maker()
    world.serving.declare(maker.spec())
    await world.publish(world.put("llm", {"n": 0}), world.put("prompt", 0))
    serving, stop, errors, turns = world.serving, threading.Event(), [], []

    def read(name):
        unit = serving.unit(name)
        done = last = 0
        try:
            while not stop.is_set():
                with serving.turn(unit) as view:
                    part = view.module("llm")
                    number = part.use()["n"]
                    assert view.get("prompt") == number == view.get("llm")["n"]
                    assert number >= last
                    assert part.use()["n"] == number
                last = number
                done += 1
                unit.get("prompt")
        except BaseException as error:
            errors.append(error)
        turns.append(done)

    threads = [threading.Thread(target=read, args=(f"d{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    try:
        for n in range(1, 100):
            await world.publish(world.put("llm", {"n": n}), world.put("prompt", n))
    finally:
        stop.set()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    assert errors == []
    assert min(turns) > 0
    await serving.close(30)
    assert len(maker.built) == 100
    assert [part.closed for part in maker.built] == [1] * 100


async def test_a_reader_that_comes_too_late_is_given_the_new_one():
    world = World()
    await world.publish(world.put("a", 1))
    old = world.serving.current
    token = object()
    await world.publish(world.put("a", 2))
    served = world.serving.enter(token)

    assert (old.sealed, old.open, served is world.serving.current) == (True, set(), True)
    world.serving.leave(served, token)


async def test_the_last_reader_out_of_a_retired_one_drains_it():
    world, maker = World(), Maker()
    world.serving.declare(maker.spec())
    await world.publish(world.put("llm", {"n": 1}))
    one, two = world.serving.turn(), world.serving.turn()
    one.__enter__(), two.__enter__()
    await world.publish(world.put("llm", {"n": 2}))

    await asyncio.to_thread(one.__exit__, None, None, None)
    await asyncio.sleep(0)
    assert not maker.built[0].closed
    await asyncio.to_thread(two.__exit__, None, None, None)
    await world.serving.close(5)

    assert [part.closed for part in maker.built] == [1, 1]


async def test_a_reader_between_the_swap_and_the_seal_starts_over():
    """What `enter` meets when another thread retires between its two looks."""
    world = World()
    await world.publish(world.put("a", 1))
    serving = world.serving
    first = serving.current

    class Late(set):
        def add(self, token):
            super().add(token)
            if not first.sealed:
                world.change(world.put("a", 2))
                step = serving.advance(world.state, frozenset("a"))
                try:
                    step.send(None)
                except StopIteration:
                    pass

    first.open = Late()
    with serving.turn() as view:
        assert view.get("a") == 2
    assert first.open == set()
