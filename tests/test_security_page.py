"""docs/security.md names every attack, and every file in which one is tried."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMBERS = [f"A{n}" for n in (*range(1, 27), *range(30, 46))]
NOTHING_OF_THE_KIND = {"A15", "A24", "A25"}  # archives, git


def rows() -> dict[str, tuple[str, ...]]:
    """The files that each attack's row names."""
    page = (ROOT / "docs" / "security.md").read_text()
    found = {}
    for line in page.splitlines():
        if match := re.match(r"\| (A\d+) \|", line):
            found[match[1]] = tuple(re.findall(r"`(tests/[\w/]+\.py)`", line.rpartition("|")[0]))
    return found


def tried() -> dict[str, set[str]]:
    """The files in which a test carries each attack's number in its name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^(?:async )?def test((?:_a\d+)+)_", path.read_text(), re.M):
            for number in re.findall(r"\d+", name):
                found.setdefault(f"A{number}", set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_attack_has_a_row_in_order() -> None:
    assert list(rows()) == NUMBERS


def test_each_row_names_the_files_in_which_it_is_tried_and_no_other() -> None:
    there = tried()

    for number, files in rows().items():
        assert set(files) == there.get(number, set()), number
        assert len(files) == len(set(files)), number


def test_what_has_no_test_is_what_does_not_exist_here() -> None:
    assert {number for number, files in rows().items() if not files} == NOTHING_OF_THE_KIND
