"""What an ACL denies."""

from __future__ import annotations

from config_center.checks.base import Facts, Level, StoreFacts
from config_center.checks.rights import judge


def test_a_right_that_every_change_needs_must_be_given() -> None:
    (check,) = judge(Facts(store=StoreFacts(denied=("evalsha", "time"))))

    assert check.level is Level.FAIL
    assert "evalsha" in check.sentence
    assert "+evalsha +time" in check.mend


def test_without_config_and_time_a_center_only_sees_less() -> None:
    (check,) = judge(Facts(store=StoreFacts(denied=("config|get", "time"))))

    assert check.level is Level.WARN


def test_all_rights_are_fine_and_what_was_not_asked_is_not_judged() -> None:
    (check,) = judge(Facts(store=StoreFacts(denied=())))

    assert check.level is Level.OK
    assert list(judge(Facts(store=StoreFacts()))) == []
    assert list(judge(Facts(store="away"))) == []
