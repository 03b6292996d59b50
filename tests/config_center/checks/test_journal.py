"""The journal and what waits in it."""

from __future__ import annotations

from config_center.checks.base import Facts, JournalFacts, Level
from config_center.checks.journal import judge


def test_a_whole_journal_is_fine_and_one_that_is_not_there_is_not_judged() -> None:
    (check,) = judge(Facts(journal=JournalFacts("j", 1 << 20)))

    assert (check.level, "1.0 MiB" in check.sentence) == (Level.OK, True)
    assert list(judge(Facts())) == []


def test_a_damaged_journal_must_be_mended() -> None:
    (damaged,) = judge(Facts(journal=JournalFacts("j", 1, ("page 3 is never used",))))
    (unreadable,) = judge(Facts(journal="file is not a database"))

    assert (damaged.level, unreadable.level) == (Level.FAIL, Level.FAIL)
    assert "page 3" in damaged.sentence
    assert "not a database" in unreadable.sentence


def test_orphans_are_to_be_decided() -> None:
    journal = JournalFacts("j", orphans={"default": 2, "a": 1})

    whole, one, two = judge(Facts(journal=journal))

    assert [c.level for c in (whole, one, two)] == [Level.OK, Level.FAIL, Level.FAIL]
    assert one.sentence.startswith("1 change that was acknowledged in a ")
    assert two.sentence.startswith("2 changes that were acknowledged in default ")
    assert "orphans ls -n default" in two.mend
