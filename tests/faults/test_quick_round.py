"""
The quick round: every fault once, every interval a tenth, the broken variant beside it.

``make chaos`` plays the same rounds with the intervals of production, more traffic and more seeds.
What is not in the table of kinds/__init__.py, and why, is in docs/faults.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.kinds import FAULTS
from tests.faults.rounds import HEAD, line, play_until_measured
from tests.faults.scale import QUICK
from tests.faults.seed import SEED


@pytest.mark.no_cover
@pytest.mark.timeout(280)  # several rounds on a busy machine
@pytest.mark.parametrize("number", FAULTS)
async def test_a_fault_costs_nothing_that_was_acknowledged_and_the_broken_variant_is_caught(
    number: str, record_property: Callable[[str, object], None]
) -> None:
    if reason := FAULTS[number].cannot():
        pytest.skip(reason)
    rows = await play_until_measured(FAULTS[number], QUICK, SEED)

    print(HEAD)
    for row in rows:
        record_property("fault round", line(row))
        print(line(row))
    assert row.wrong == []
    assert row.passed, f"CHAOS_SEED={row.seed}: too little traffic, or the judges cannot say no"
