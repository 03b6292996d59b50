"""Replicas against what waits for them."""

from __future__ import annotations

import pytest

from config_center.checks.base import Facts, Level, StoreFacts
from config_center.checks.replicas import judge


@pytest.mark.parametrize(
    ("there", "wanted", "least", "levels"),
    [
        (0, 0, "0", [Level.OK]),
        (1, 1, "1", [Level.OK]),
        (0, 1, "0", [Level.FAIL]),
        (1, 2, "1", [Level.FAIL]),
        (1, 0, "1", [Level.WARN]),
        (2, 1, "0", [Level.OK, Level.WARN]),
        (0, 0, "1", [Level.OK, Level.FAIL]),
    ],
)
def test_replicas_that_are_missing_or_that_nothing_waits_for_are_told(
    there: int, wanted: int, least: str, levels: list[Level]
) -> None:
    store = StoreFacts(replicas=there, config={"min-replicas-to-write": least})

    checks = list(judge(Facts(store=store, ack_replicas=wanted)))

    assert [check.level for check in checks] == levels
    assert all(bool(check.mend) is (check.level is not Level.OK) for check in checks)


def test_a_store_that_was_not_asked_is_not_judged() -> None:
    assert list(judge(Facts(store=StoreFacts()))) == []
    assert list(judge(Facts(store="away"))) == []
