"""Permission bits and owners."""

from __future__ import annotations

from config_center.checks.base import Facts, FileFacts, Level
from config_center.checks.files import judge

HOME = FileFacts("data", 0o700, 7, is_directory=True)


def mends(*files: FileFacts, user: int | None = 7) -> list[str]:
    checks = list(judge(Facts(files=files, user=user)))
    assert all((c.level is Level.FAIL) is bool(c.mend) for c in checks)
    return [check.mend for check in checks]


def test_a_closed_directory_is_fine() -> None:
    assert mends(HOME, FileFacts("data/secrets.key", 0o600, 7)) == [""]
    assert mends(HOME, user=0) == [""]
    assert mends(FileFacts("data", 0o755, 7, is_directory=True)) == [""]


def test_what_others_may_read_or_write_is_to_be_closed() -> None:
    assert mends(HOME, FileFacts("data/secrets.key", 0o640, 7)) == ["chmod 600 data/secrets.key"]
    assert mends(FileFacts("data", 0o770, 7, is_directory=True)) == ["chmod 700 data"]


def test_what_belongs_to_somebody_else_is_to_be_given_back() -> None:
    assert mends(HOME, FileFacts("data/journal.sqlite3", 0o600, 0)) == [
        "chown 7 data/journal.sqlite3"
    ]
    assert mends(HOME, user=8) == ["run as that user, or chown -R 8 data"]


def test_a_directory_that_is_not_there_yet_is_fine_and_one_not_looked_at_is_not_judged() -> None:
    assert mends() == [""]
    assert list(judge(Facts())) == []
