"""Publishing that somebody stopped."""

from __future__ import annotations

from config_center.checks.base import Facts, Level
from config_center.checks.freeze import judge
from config_center.ledger.registry import SYSTEM

FREEZE = {"by": "ann", "reason": "incident 4711", "since": "2026-01-31T03:00:00.000Z"}


def test_each_freeze_is_a_warning_with_who_since_when_why_and_the_way_out() -> None:
    center, namespace = judge(Facts(frozen={"prod": FREEZE, SYSTEM: FREEZE}))

    assert (center.level, namespace.level) == (Level.WARN, Level.WARN)
    told = "is frozen since 2026-01-31T03:00:00.000Z by ann: incident 4711"
    assert center.sentence == f"the whole center {told}"
    assert namespace.sentence == f"prod {told}"
    assert "config-center unfreeze;" in center.mend
    assert "config-center unfreeze -n prod;" in namespace.mend


def test_nothing_frozen_is_fine_and_nothing_seen_is_nothing_said() -> None:
    (fine,) = judge(Facts(frozen={}))

    assert (fine.level, fine.sentence) == (Level.OK, "nothing is frozen")
    assert list(judge(Facts())) == []
