"""Open files."""

from __future__ import annotations

import pytest

from config_center.checks.base import Facts, Level
from config_center.checks.limits import judge


@pytest.mark.parametrize(
    ("limit", "level"),
    [(255, Level.FAIL), (1024, Level.WARN), (1255, Level.WARN), (1256, Level.OK)],
)
def test_the_limit_has_to_hold_as_many_streams_as_may_be(limit: int, level: Level) -> None:
    (check,) = judge(Facts(open_files=limit, watches=1000))

    assert check.level is level
    assert ("1256" in check.mend) is (level is not Level.OK)


def test_a_limit_that_is_not_known_is_not_judged() -> None:
    assert list(judge(Facts())) == []
