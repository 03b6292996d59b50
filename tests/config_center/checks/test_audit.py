"""The audit's end."""

from __future__ import annotations

from config_center.checks.audit import judge
from config_center.checks.base import AuditFacts, Facts, Level


def test_an_audit_that_ends_as_it_was_sealed_is_fine_and_none_is_not_judged() -> None:
    (check,) = judge(Facts(audit=AuditFacts("a", 12_000)))

    assert (check.level, "12,000 entries" in check.sentence) == (Level.OK, True)
    assert list(judge(Facts())) == []


def test_an_end_that_is_not_the_sealed_one_is_somebodys_doing() -> None:
    (check,) = judge(Facts(audit=AuditFacts("a", problem="nothing signs its end")))

    assert check.level is Level.FAIL
    assert "nothing signs its end" in check.sentence


def test_one_that_cannot_be_written_says_what_it_stops() -> None:
    down, whole = judge(Facts(audit=AuditFacts("a", 3, down="disk is full")))

    assert (down.level, whole.level) == (Level.FAIL, Level.OK)
    assert "no change is taken" in down.sentence


def test_what_was_put_aside_is_to_be_looked_into() -> None:
    _, aside = judge(Facts(audit=AuditFacts("a", 3, aside=("audit.1.broken.sqlite3",))))

    assert aside.level is Level.FAIL
    assert "audit verify audit.1.broken.sqlite3" in aside.mend
