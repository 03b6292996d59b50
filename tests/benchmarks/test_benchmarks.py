"""Every group of the benchmarks runs; what it measures is for people: a busy box is no bug."""

from __future__ import annotations

import importlib
import math

import pytest

from benchmarks.__main__ import GROUPS
from benchmarks.measure import Line, compared, percentile


@pytest.mark.no_cover
@pytest.mark.parametrize("group", GROUPS)
async def test_every_group_runs(group: str) -> None:
    size = 0.002
    lines = [line async for line in importlib.import_module(f"benchmarks.{group}").lines(size)]

    assert all(line.group == group for line in lines)
    assert all(
        math.isfinite(line.ratio) and line.ours > 0 for line in lines if line.wanted not in (0, 1.0)
    )


def test_a_line_is_the_ratio_of_two_medians_and_knows_its_bound() -> None:
    line = compared("push", "what", [1.0, 3.0, 100.0], [1.0, 2.0, 3.0], "bare", "us", 2.0)

    assert line == Line("push", "what", 3.0, 2.0, "bare", "us", 1.5, 2.0)
    assert line.met
    assert "<- over" not in str(line)
    assert "<- over" in str(compared("push", "what", [9.0], [1.0], "bare", "us", 2.0))
    assert compared("push", "what", [9.0], [1.0], "bare", "us", None).met
    assert compared("write", "what", [9.0], [1.0], "bare", "1/s", 1.0, at_least=True).met


def test_a_percentile_is_a_value_that_was_seen() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile([5.0, 1.0, 3.0], 0.99) == 5.0
