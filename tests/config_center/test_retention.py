from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client_sdk.contents import Content, Rollout
from client_sdk.records import Position
from client_sdk.state import Entry
from config_center.retention import (
    DAY_MS,
    Aged,
    AgedVersion,
    Keep,
    due_rows,
    due_versions,
    is_worth_it,
    needed_versions,
    unneeded_bodies,
)
from tests.history import History, content, put

NOW = 1_000 * DAY_MS
HEAD = Position(1, 10**6)
KEEP = Keep(rows=3, versions=2)


def rows(*days_old: float) -> list[Aged]:
    return [Aged(Position(1, v), NOW - int(days * DAY_MS)) for v, days in enumerate(days_old, 1)]


def test_rows_go_that_are_old_and_not_among_the_newest() -> None:
    assert due_rows(rows(50, 40, 31), 6, HEAD, NOW, KEEP) == 3
    assert due_rows(rows(50, 40, 31), 5, HEAD, NOW, KEEP) == 2
    assert due_rows(rows(50, 40, 31), 3, HEAD, NOW, KEEP) == 0
    assert due_rows(rows(50, 40, 31), 2, HEAD, NOW, KEEP) == 0


def test_a_young_row_keeps_all_behind_it() -> None:
    assert due_rows(rows(50, 29, 31), 100, HEAD, NOW, KEEP) == 1
    assert due_rows(rows(30), 100, HEAD, NOW, KEEP) == 0


def test_no_row_at_or_above_the_head_of_the_store_goes() -> None:
    assert due_rows(rows(50, 50, 50), 100, Position(1, 2), NOW, KEEP) == 1


def test_a_row_stays_while_its_idempotency_key_is_remembered() -> None:
    long = Keep(rows=3, row_ms=DAY_MS, id_ms=7 * DAY_MS)

    assert due_rows(rows(6), 100, HEAD, NOW, long) == 0
    assert due_rows(rows(8), 100, HEAD, NOW, long) == 1


def test_the_base_moves_for_a_hundredth_of_the_rows_and_not_for_one() -> None:
    keep = Keep(rows=1_000)

    assert [is_worth_it(due, keep) for due in (-5, 0, 9, 10)] == [False, False, False, True]
    assert is_worth_it(1, KEEP)
    assert not is_worth_it(0, KEEP)


def versions(*days_old: float, kept: tuple[int, ...] = ()) -> list[AgedVersion]:
    return [
        AgedVersion(number, NOW - int(days * DAY_MS), number in kept)
        for number, days in enumerate(days_old, 1)
    ]


def test_versions_go_that_are_old_not_among_the_newest_and_needed_by_nothing() -> None:
    old = versions(200, 150, 100, 99, 98)

    assert due_versions(old, (), NOW, KEEP) == [1, 2, 3]
    assert due_versions(old, (2,), NOW, KEEP) == [1, 3]
    assert due_versions(versions(200, 150, 100, 99, 98, kept=(1,)), (), NOW, KEEP) == [2, 3]
    assert due_versions(versions(200, 89, 100, 99, 98), (), NOW, KEEP) == [1, 3]
    assert due_versions(versions(200, 150), (), NOW, KEEP) == []
    assert due_versions(versions(200), (), NOW, KEEP) == []


def test_what_is_served_and_what_it_went_back_to_is_needed() -> None:
    stable = Content(7, "a" * 64, 1, "json", rollback_of=3)
    canary = Content(9, "b" * 64, 1, "json", rollback_of=4)
    rollout = Rollout("ro", 10, "device", "salt", ("k",), canary)

    assert needed_versions(Entry("k", HEAD, 9, stable, rollout), 5) == {3, 4, 5, 7, 9}
    assert needed_versions(Entry("k", HEAD, 9, None), None) == {9}


@given(
    ages=st.lists(st.integers(0, 200), max_size=30),
    newest=st.integers(1, 10),
    needed=st.sets(st.integers(1, 30)),
    kept=st.sets(st.integers(1, 30)),
)
def test_no_version_goes_that_any_rule_keeps(
    ages: list[int], newest: int, needed: set[int], kept: set[int]
) -> None:
    keep = Keep(versions=newest)
    found = versions(*ages, kept=tuple(kept))
    gone = due_versions(found, needed, NOW, keep)

    for number in gone:
        assert ages[number - 1] > 90
        assert number <= len(ages) - newest
        assert number not in needed | kept
    left = {each.version for each in found} - set(gone)
    for number in left:  # and what no rule keeps does go
        kept_by = (ages[number - 1] <= 90, number > len(ages) - newest, number in needed | kept)
        assert any(kept_by)


@given(
    ages=st.lists(st.integers(0, 60), max_size=40),
    more=st.integers(0, 20),
    newest=st.integers(0, 20),
    head=st.integers(1, 60),
)
def test_no_row_goes_that_any_rule_keeps(
    ages: list[int], more: int, newest: int, head: int
) -> None:
    total, oldest = len(ages) + more, rows(*ages)
    due = due_rows(oldest, total, Position(1, head), NOW, Keep(rows=newest))

    assert total - due >= min(newest, total)
    assert all(days > 30 for days in ages[:due])
    assert all(row.position.v < head for row in oldest[:due])


def test_a_body_goes_that_nothing_names_and_nobody_touched_for_a_while() -> None:
    history = History()
    logged = history.add(put("k", "logged"))
    served, canary = content("served"), content("canary", 2)
    entry = Entry("k", HEAD, 2, served, Rollout("ro", 10, "device", "salt", ("k",), canary))
    (named,) = logged.bodies
    idle = {
        named: 9e9,
        served.sha256: 9e9,
        canary.sha256: 9e9,
        "old": 3601.0,
        "older": 9e9,
        "young": 3600.0,
    }

    assert unneeded_bodies(idle, [entry], [logged], Keep()) == ["old", "older"]
