"""Versions of the store's server, and what they lack."""

from __future__ import annotations

import pytest

from config_center.checks.base import Facts, Level, StoreFacts
from config_center.checks.server import judge


@pytest.mark.parametrize(
    ("product", "version", "level"),
    [
        ("Redis", (6, 2, 20), Level.FAIL),
        ("Redis", (7, 0, 15), Level.WARN),
        ("Redis", (7, 2, 10), Level.FAIL),
        ("Redis", (7, 2, 11), Level.OK),
        ("Redis", (7, 4, 5), Level.FAIL),
        ("Redis", (8, 2, 1), Level.FAIL),
        ("Redis", (8, 2, 2), Level.OK),
        ("Redis", (8, 4, 0), Level.OK),
        ("Valkey", (8, 1, 3), Level.FAIL),
        ("Valkey", (8, 1, 4), Level.OK),
        ("Valkey", (9, 1), Level.OK),
        ("Dragonfly", (7, 4, 0), Level.OK),
    ],
)
def test_a_release_before_the_one_that_mends_the_hole_must_be_replaced(
    product: str, version: tuple[int, ...], level: Level
) -> None:
    (check,) = judge(Facts(store=StoreFacts(product, version)))

    assert check.level is level
    assert ".".join(map(str, version)) in check.sentence
    assert bool(check.mend) is (level is not Level.OK)


def test_only_a_server_without_what_the_scripts_need_stops_a_start() -> None:
    old, holed = StoreFacts(version=(6, 2, 20)), StoreFacts(version=(7, 2, 1))

    assert [check.fatal for check in judge(Facts(store=old))] == [True]
    assert [check.fatal for check in judge(Facts(store=holed))] == [False]


def test_the_release_to_take_is_named() -> None:
    (holed,) = judge(Facts(store=StoreFacts("Valkey", (8, 0, 1))))
    (unknown,) = judge(Facts(store=StoreFacts("Redis", (7, 0, 15))))

    assert "8.0.6" in holed.mend
    assert "8.2.2" in unknown.mend


def test_a_store_that_is_away_and_one_that_keeps_nothing_must_be_mended() -> None:
    (away,) = judge(Facts(store="connection refused"))
    (memory,) = judge(Facts(store=StoreFacts(kept=False)))

    assert (away.level, memory.level) == (Level.FAIL, Level.FAIL)
    assert "connection refused" in away.sentence
    assert list(judge(Facts())) == []


@pytest.mark.parametrize("clustered", [True, False])
def test_a_server_that_is_not_what_its_url_says_stops_a_start(clustered: bool) -> None:
    store = StoreFacts("Valkey", (9, 1), clustered=clustered, as_cluster=not clustered)

    fine, wrong = judge(Facts(store=store))

    assert (fine.level, wrong.level, wrong.fatal) == (Level.OK, Level.FAIL, True)
    assert ("redis+cluster://" in wrong.mend) is clustered
