"""
F15: publishers at two centers compare and set one key at once, while replies get lost; what they
were answered has to be explained by one register.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from config_center.ledger.words import Mode
from config_center.problems import Problem
from config_center.publishing import Put
from tests.faults.checkers.linear import (
    CONFLICT,
    DONE,
    NEVER,
    UNKNOWN,
    Attempt,
    is_linearizable,
)
from tests.faults.scale import QUICK
from tests.faults.seed import SEED
from tests.faults.systems.ours import ADMIN, Ours, ours
from tests.faults.world import world
from tests.until import until

KEY = "register"
WRITERS, EACH = 6, 40


async def attempt(system: Ours, center: int, careful: bool) -> Attempt | None:
    """
    One read at a center, and one publish there on what was read. None: refused (503), which
    promises that nothing happened; if something did, the register cannot be explained.
    """
    at = system.centers[center]
    ledger = at.registry.get("default")
    await until(lambda: ledger.mode is Mode.READY and not ledger.doubt, 30.0)
    expected = ledger.state.entries[KEY].latest
    begun = time.monotonic()
    condition = f'"{expected}"' if careful else None
    answer = DONE
    try:
        await at.service.put("default", KEY, Put(value=begun, if_match=condition), ADMIN)
    except Problem as problem:
        if problem.status not in (412, 503, 504):
            raise
        if problem.status == 503:
            return None
        answer = CONFLICT if problem.status == 412 else UNKNOWN
    ended = NEVER if answer == UNKNOWN else time.monotonic()
    return Attempt(begun, ended, expected, answer)


async def history(home: Path, *, careful: bool) -> tuple[list[Attempt], int]:
    """What all writers were answered, and how many changes there were."""
    rng = random.Random(f"linear-{SEED}")
    async with (
        world(QUICK, rng) as made,
        ours(home, made.store.url, made.reading.url, QUICK, rng, centers=2) as system,
    ):
        first = system.centers[0]
        await first.service.put("default", KEY, Put(value=0.0), ADMIN)
        await system.settle()
        attempts: list[Attempt] = []

        async def write(center: int, rests: random.Random) -> None:
            for number in range(EACH):
                made_one = await attempt(system, center, careful)
                attempts.extend([made_one] if made_one else [])
                if center == 0 and number % 13 == 5 and not made.store.still_to_lose:
                    made.store.lose_replies("EVALSHA")
                await asyncio.sleep(rests.uniform(0.0, 0.01))

        writers = [write(n % 2, random.Random(rng.random())) for n in range(WRITERS)]
        await asyncio.gather(*writers)
        await system.settle()
        latest = first.registry.get("default").state.entries[KEY].latest
    return attempts, latest - 1


def told(attempts: list[Attempt]) -> str:
    counts = {answer: sum(a.answer == answer for a in attempts) for answer in (DONE, CONFLICT)}
    return f"seed {SEED}: {counts}, unknown {len(attempts) - sum(counts.values())}"


@pytest.mark.no_cover
@pytest.mark.timeout(280)
async def test_compare_and_set_at_two_centers_is_one_register(tmp_path: Path) -> None:
    attempts, changes = await history(tmp_path, careful=True)

    print(told(attempts))
    done = sum(a.answer == DONE for a in attempts)
    unknown = sum(a.answer == UNKNOWN for a in attempts)
    assert done >= 20, "too few publishes to say anything"
    assert any(a.answer == CONFLICT for a in attempts)
    assert done <= changes <= done + unknown
    assert is_linearizable(attempts, 1)


@pytest.mark.no_cover
@pytest.mark.timeout(280)
async def test_without_compare_and_set_the_checker_finds_the_lost_update(tmp_path: Path) -> None:
    attempts, _ = await history(tmp_path, careful=False)

    print(told(attempts))
    assert not is_linearizable(attempts, 1), f"seed {SEED}: nobody wrote over anybody"
