"""docs/faults.md names tests that are there, all forty faults and all sixteen counterexamples."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.kinds import FAULTS

ROOT = Path(__file__).parent.parent
FAULT_ROWS, _, COUNTEREXAMPLES = (
    (ROOT / "docs" / "faults.md").read_text().partition("## Counterexamples")
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows(text: str) -> dict[str, str]:
    """The rows of a table by what their first cell says."""
    cells = (line.strip("|").split("|", 1) for line in text.splitlines() if line.startswith("| "))
    return {first.strip(): rest for first, rest in cells if first.strip()}


def missing(text: str) -> list[str]:
    """Tests that are named and are not there."""
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.M)
    ]


def test_every_fault_has_a_row_and_the_tests_that_it_names_are_there() -> None:
    found = rows(FAULT_ROWS)

    assert sorted(found, key=lambda name: int(name[1:])) == [f"F{n}" for n in range(1, 41)]
    assert missing(FAULT_ROWS) == []


def test_every_round_is_in_the_table_as_one_with_its_broken_variant() -> None:
    played = {number for number, rest in rows(FAULT_ROWS).items() if "round, *" in rest}

    assert played == FAULTS.keys() - {"F0"}
    for number in played:
        assert f"round, *{FAULTS[number].broken}*" in rows(FAULT_ROWS)[number]


def test_at_least_thirty_faults_are_played_by_something() -> None:
    automated = [
        rest for rest in rows(FAULT_ROWS).values() if "round, *" in rest or NAMED.search(rest)
    ]

    assert len(automated) >= 30


def test_every_counterexample_names_a_test_that_is_there() -> None:
    found = rows(COUNTEREXAMPLES)

    assert list(found) == [str(number) for number in range(1, 17)]
    assert all(NAMED.search(rest) for rest in found.values())
    assert missing(COUNTEREXAMPLES) == []


def test_a_name_that_is_not_there_is_found() -> None:
    assert missing("`tests/test_tree.py::test_nobody`") == ["tests/test_tree.py::test_nobody"]
