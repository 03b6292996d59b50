"""Many listeners: each hears everything in its order, and none keeps the loop from others."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from client_sdk.turns import LEAST
from config_center.ledger import watchers
from config_center.ledger.watchers import Watchers


def numbers(count: int) -> list[Any]:
    """Messages that only need to be told apart."""
    return list(range(count))


async def test_everybody_hears_every_message_in_its_order() -> None:
    all_of_them = Watchers()
    listeners = [all_of_them.add() for _ in range(100)]
    for message in numbers(5):
        all_of_them.offer(message)

    heard = [[await asyncio.wait_for(anext(each), 30) for _ in range(5)] for each in listeners]

    assert heard == [numbers(5)] * 100


async def test_a_message_wakes_only_some_in_one_turn_of_the_loop() -> None:
    all_of_them, woken, seen = Watchers(clock=lambda: 0.0), [], []

    async def listen(watcher: watchers.Watcher) -> None:
        woken.append(await anext(watcher))

    tasks = [asyncio.create_task(listen(all_of_them.add())) for _ in range(300)]
    await asyncio.sleep(0)
    all_of_them.offer(*numbers(1))
    while len(woken) < 300:
        seen.append(len(woken))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    most = max(after - before for before, after in itertools.pairwise(seen))
    assert most <= LEAST


async def test_a_beat_a_second_reaches_a_thousand_while_each_turn_lasts_50_ms() -> None:
    now = 100.0
    all_of_them = Watchers(clock=lambda: now)
    listeners = [all_of_them.add() for _ in range(1_000)]

    for beats in range(1, 6):
        all_of_them.offer(*numbers(1))
        for _ in range(20):
            now += 0.05
            await asyncio.sleep(0)

        assert {each._queue.qsize() for each in listeners} == {beats}


async def test_who_comes_later_hears_what_is_offered_later_and_who_left_nothing() -> None:
    all_of_them = Watchers()
    early = [all_of_them.add() for _ in range(100)]
    all_of_them.offer(*numbers(1))
    early[50].close("left")
    late = all_of_them.add()
    all_of_them.offer("second")  # type: ignore[arg-type]

    assert await asyncio.wait_for(anext(late), 30) == "second"
    assert [await asyncio.wait_for(anext(early[99]), 30) for _ in range(2)] == [0, "second"]
    all_of_them.close("the center stops")
    assert [each async for each in late] == []


async def test_more_than_can_be_handed_out_ends_them_all_and_not_the_memory() -> None:
    all_of_them = Watchers()
    listeners = [all_of_them.add() for _ in range(100)]
    for message in numbers(watchers._BOUND + 2):
        all_of_them.offer(message)

    assert all(each.closed and "resume" in each.reason for each in listeners)
    assert len(all_of_them) == 0
    assert len(all_of_them._waiting) < 10
