"""Clocks that are apart."""

from __future__ import annotations

import pytest

from config_center.checks.base import Facts, Level, PeerFacts, StoreFacts
from config_center.checks.clock import judge


def test_a_clock_before_the_program_was_installed_is_wrong() -> None:
    (check,) = judge(Facts(now=0.0, installed=1_700_000_000.0))

    assert check.level is Level.FAIL
    assert "1970-01-01" in check.sentence
    assert "2023-11-14" in check.sentence
    assert list(judge(Facts(now=2.0, installed=1.0))) == []


@pytest.mark.parametrize(
    ("apart", "level", "words"),
    [
        (0.4, Level.OK, "agrees"),
        (-1.9, Level.OK, "agrees"),
        (2.0, Level.WARN, "2.0 s ahead"),
        (-30.0, Level.FAIL, "30.0 s behind"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_away(apart: float, level: Level, words: str) -> None:
    peers = (PeerFacts("http://b", clock_apart=apart), PeerFacts("http://c"))

    checks = list(judge(Facts(store=StoreFacts(clock_apart=apart), peers=peers)))

    assert [check.level for check in checks] == [level, level]
    assert all(words in check.sentence for check in checks)
