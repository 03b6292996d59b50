"""A round that could not be timed is no round, and none that did harm is called so."""

from __future__ import annotations

import asyncio
import time

from tests.faults.pauses import pauses
from tests.faults.rounds import Row


async def test_a_pause_is_noticed_also_at_the_very_end() -> None:
    async with pauses() as seen:
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251  # as when nobody runs

    assert seen.longest > 0.05


def test_a_pause_excuses_what_is_late_and_nothing_else() -> None:
    wrong = ["slow: late", "silent: late", "reliable: late", "lost: k=1"]

    assert Row("F0", 1, void=True, wrong=wrong).proven == ["lost: k=1"]
    assert Row("F0", 1, wrong=wrong).proven == wrong
    assert not Row("F0", 1, void=True, harmless=True).passed
