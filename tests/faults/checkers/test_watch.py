"""Each rule has a life that breaks it, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults.checkers.watch import (
    Acknowledged,
    Bookmark,
    Change,
    History,
    Restart,
    Seen,
    Step,
    check,
    doubled,
    lost,
)

CHANGES = [
    Change(b"1", b"0", (1, 1), {"a": 1, "b": 1}),
    Change(b"2", b"1", (1, 2), {"a": 2}),
    Change(b"3", b"2", (1, 3), {"a": 3, "b": 3}),
    Change(b"x", b"2", (2, 3), {}),  # an adoption: 1-3 was lost ...
    Change(b"y", b"x", (2, 4), {"a": 3, "b": 3}),  # ... and is back
]
ONE = Step(0.1, (1, 1), {"a": 1, "b": 1})
TWO = Step(0.2, (1, 2), {"a": 2, "b": 1})
THREE = Step(0.3, (1, 3), {"a": 3, "b": 3})
ADOPTED = Step(0.4, (2, 3), {"a": 2, "b": 1})
LAST = Step(0.5, (2, 4), {"a": 3, "b": 3})


def rules(steps: Sequence[Step | Restart], **more: object) -> list[str]:
    seen = Seen("gw", steps, **more)  # type: ignore[arg-type]
    acknowledged = [Acknowledged("a", 2, 0.2), Acknowledged("b", 3, 0.3)]
    found = check(History.of(reversed(CHANGES)), seen, acknowledged)
    return [wrong.partition(":")[0] for wrong in found]


@pytest.mark.parametrize(
    "life",
    [
        [ONE, TWO, THREE, LAST],
        [ONE, LAST],  # it was away
        [TWO, ADOPTED, LAST],  # it knows nothing of 1-3
        [THREE, LAST],  # it had what the store lost
        [ONE, TWO, Restart(), TWO, LAST],
    ],
)
def test_a_good_life_is_let_pass(life: list[Step | Restart]) -> None:
    assert rules(life) == []


@pytest.mark.parametrize(
    ("life", "rule"),
    [
        ([ONE, Step(0.2, (1, 1), {"a": 1, "b": 1}), LAST], "unique"),
        ([THREE, ADOPTED, LAST], "backward"),  # the older state that the adoption mends
        ([Step(0.1, (1, 3), {"a": 3, "b": 1}), LAST], "atomic"),  # half of a change
        ([Step(0.1, (1, 2), {"a": "x", "b": 1}), LAST], "atomic"),  # what nobody published
        ([Step(0.1, (1, 9), {}), LAST], "atomic"),
        ([ONE, TWO], "reliable"),
        ([], "reliable"),
    ],
)
def test_a_life_that_breaks_a_rule_is_refused(life: list[Step | Restart], rule: str) -> None:
    assert set(rules(life)) == {rule}


def test_a_position_that_goes_back_is_refused_also_over_a_restart() -> None:
    same = Step(0.3, (1, 2), {"a": 3, "b": 3})

    assert "ordered" in rules([THREE, same, LAST])
    assert "resumable" in rules([THREE, Restart(), same, LAST])


def test_who_was_confirmed_has_been_offered_what_was_acknowledged_before() -> None:
    good = [Bookmark(0.25, (1, 2)), Bookmark(0.5, (2, 4))]

    assert rules([ONE, LAST], bookmarks=good) == []
    assert rules([ONE, LAST], bookmarks=[Bookmark(0.25, (1, 1))]) == ["bookmarkable"]


def test_an_acknowledged_value_that_no_version_holds_is_lost_and_one_twice_is_doubled() -> None:
    acknowledged = [Acknowledged("a", 1, 0.0), Acknowledged("a", 2, 0.0), Acknowledged("b", 1, 0.0)]

    assert lost({"a": [1, 3], "b": [1]}, acknowledged) == ["lost: a=2"]
    assert lost({}, acknowledged[:1]) == ["lost: a=1"]
    assert doubled({"a": [1, 2, 1], "b": [1]}) == ["doubled: a=1"]
