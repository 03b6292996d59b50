"""Room on the disk."""

from __future__ import annotations

import pytest

from config_center.checks.base import DiskFacts, Facts, Level
from config_center.checks.disk import judge

MIB = 1 << 20


@pytest.mark.parametrize(
    ("free", "size", "level"),
    [
        (255 * MIB, 1024 * MIB, Level.FAIL),
        (256 * MIB, 1024 * MIB, Level.WARN),
        (2048 * MIB, 4096 * MIB, Level.OK),
        (4096 * MIB, 1_000_000 * MIB, Level.WARN),
        (0, 0, Level.FAIL),
    ],
)
def test_room_is_judged_by_bytes_and_by_share(free: int, size: int, level: Level) -> None:
    (check,) = judge(Facts(disk=DiskFacts("/srv", free, size)))

    assert check.level is level
    assert f"{free // MIB:,} MiB" in check.sentence
    assert bool(check.mend) is (level is not Level.OK)


def test_a_disk_that_was_not_looked_at_is_not_judged() -> None:
    assert list(judge(Facts())) == []
