"""Namespaces that take no changes."""

from __future__ import annotations

from config_center.checks.base import CENTER, Facts, Level
from config_center.checks.namespaces import judge
from config_center.ledger.words import Mode


def test_each_namespace_that_is_not_ready_is_told_with_why_and_what_to_do() -> None:
    unready = [mode for mode in Mode if mode not in (Mode.READY, Mode.ENDED)]
    modes = {f"ns-{mode.value}": {"mode": mode.value, "reason": "why"} for mode in unready}

    checks = list(judge(Facts(modes=modes)))

    assert len(checks) == len(unready)
    for check, (ns, about) in zip(checks, sorted(modes.items()), strict=True):
        assert check.level is Level.FAIL
        assert check.sentence == f"{ns} takes no changes: {about['mode']} (why)"
        assert check.mend != "see the center's log"
        assert check.mend.count("config-center restore ") == check.mend.count("restore ")


def test_a_mode_that_is_new_is_told_too_and_those_that_are_ready_are_counted() -> None:
    modes = {"a": {"mode": "frozen", "reason": ""}, "b": {"mode": "ready", "reason": ""}}

    frozen, rest = judge(Facts(modes=modes))

    assert (frozen.sentence, frozen.mend) == ("a takes no changes: frozen", "see the center's log")
    assert (rest.level, rest.sentence) == (Level.OK, "1 of 2 take changes")
    assert list(judge(Facts())) == []


def test_what_is_frozen_is_not_counted_among_those_that_take_changes() -> None:
    """``2 of 2 take changes`` stood directly above ``default is frozen``."""
    ready = {"mode": "ready", "reason": ""}
    modes = {"a": ready, "b": ready, CENTER: ready}

    def said(*frozen: str) -> tuple[Level, str]:
        (check,) = judge(Facts(modes=modes, frozen={ns: {} for ns in frozen}))
        return check.level, check.sentence

    assert said() == (Level.OK, "2 of 2 take changes")
    assert said("a") == (Level.OK, "1 of 2 take changes; frozen: a")
    assert said("a", "b") == (Level.OK, "0 of 2 take changes; frozen: a, b")
    assert said("a", CENTER) == (Level.OK, "0 of 2 take changes: the whole center is frozen")
