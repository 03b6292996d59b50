"""How a crowd is spread over the turns of the event loop."""

from __future__ import annotations

import pytest

from client_sdk.turns import LEAST, MOST, WITHIN, Turns

COST = 0.0001  # seconds that serving one holds the loop


def lasts(crowd: int, others: float) -> tuple[float, int]:
    """
    Seconds until a crowd is through, and the largest share, while others take ``others`` seconds
    of each turn.
    """
    turns, now, left, largest = Turns(), 100.0, crowd, 0
    while left and now < 110.0:
        share = turns.share(left, now)
        now += others + share * COST
        left, largest = left - share, max(largest, share)
    return now - 100.0, largest


@pytest.mark.parametrize("others", [0.005, 0.02, 0.05])
def test_a_thousand_are_through_in_time_however_long_the_turns_are(others: float) -> None:
    took, largest = lasts(1_100, others)

    assert WITHIN * 0.5 < took < WITHIN * 2
    assert LEAST < largest <= MOST


def test_short_turns_serve_the_least_and_nobody_else_waits_for_more() -> None:
    assert lasts(1_000, 0.0003)[1] == LEAST


def test_a_thousand_who_join_each_second_find_a_queue_that_stays_short() -> None:
    turns, left, seen = Turns(), 1_000, []

    for number in range(500):  # turns of 20 ms, in each of which 20 come
        left += 20 - turns.share(left, number * 0.02)
        seen.append(left)

    assert max(seen[100:]) <= 1_000 * WITHIN


def test_a_turn_that_lasted_very_long_is_not_made_up_for_at_once() -> None:
    turns = Turns()

    assert [turns.share(1_000, now) for now in (5.0, 9.0, 9.0)] == [LEAST, MOST, LEAST]


def test_who_comes_after_all_were_served_owes_nothing_to_the_time_before() -> None:
    turns = Turns()

    assert [turns.share(LEAST, 5.0), turns.share(50, 60.0)] == [LEAST, LEAST]
    assert [turns.share(0, 60.1), turns.share(50, 70.0)] == [0, LEAST]


def test_no_more_are_served_than_wait_and_a_larger_least_holds() -> None:
    assert Turns().share(1, 5.0) == 1
    assert Turns(500).share(1_000, 5.0) == 500
