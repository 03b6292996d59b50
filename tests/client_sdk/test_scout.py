"""A preferred path proves itself before it is taken."""

from __future__ import annotations

import asyncio
import random

from client_sdk.errors import TransportDown
from client_sdk.scout import scout
from client_sdk.steps import Timing
from client_sdk.waiting import ended
from tests.client_sdk.wire import Wire
from tests.history import History
from tests.until import until

TIMING = Timing(silence=0.0, pong=0.02)  # it is asked all the time
WITHIN = 30.0


async def found(*wires: Wire, proof: float = 0.1) -> tuple[int, object]:
    connect = [lambda wire=wire: wire for wire in wires]
    search = scout(range(len(wires)), connect, TIMING, proof, random.Random(1))
    return await asyncio.wait_for(search, WITHIN)


async def test_a_path_that_answers_all_the_time_is_handed_over_open() -> None:
    wire = Wire(History())

    index, transport = await found(wire)

    assert (index, transport) == (0, wire)
    assert wire.open_now
    assert wire.asked.count("ping") >= 2


async def test_one_that_goes_deaf_is_closed_and_tried_again() -> None:
    deaf, good = Wire(History()), Wire(History())
    deaf.deaf = True

    index, transport = await found(deaf, good)

    assert (index, transport) == (1, good)
    assert not deaf.open_now


async def test_one_that_cannot_be_opened_is_tried_until_it_can() -> None:
    wire = Wire(History())
    wire.failures["open"] = TransportDown("refused")
    search = asyncio.create_task(found(wire, proof=0.05))
    await until(lambda: wire.asked.count("open") >= 3)
    wire.failures.clear()

    assert (await search)[1] is wire


async def test_one_that_fails_in_a_way_nobody_thought_of_harms_nobody() -> None:
    bad, good = Wire(History()), Wire(History())
    bad.failures["open"] = RuntimeError("bug")

    assert (await found(bad, good))[1] is good
    assert bad.asked == ["open", "close"]


async def test_a_search_that_is_ended_leaves_nothing_open() -> None:
    wire = Wire(History())
    search = asyncio.create_task(scout([0], [lambda: wire], TIMING, 60.0, random.Random(1)))
    await until(lambda: wire.open_now)

    await ended(search)

    assert search.cancelled()
    assert not wire.open_now
