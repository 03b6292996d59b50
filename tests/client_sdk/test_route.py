"""Which path next, and when."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from client_sdk.route import Pace, Route

PACE = Pace(base=0.5, cap=5.0, steady=10.0, proof=60.0)


def test_until_one_worked_every_failure_gives_way_and_the_first_round_does_not_wait() -> None:
    route = Route(3, PACE)
    rng = random.Random(1)

    taken, waits, alone = [], [], []
    for _ in range(4):
        taken.append(route.at)
        waits.append(route.lost(0.0, rng))
        alone.append(route.all_failed)

    assert taken == [0, 1, 2, 0]
    assert waits[:2] == [0.0, 0.0]
    assert all(wait > 0.0 for wait in waits[2:])
    assert alone == [False, False, True, True]


def test_three_failures_in_a_row_change_the_path_and_around() -> None:
    route = Route(2, PACE, reached=True)
    rng = random.Random(1)

    taken = []
    for _ in range(9):
        taken.append(route.at)
        route.lost(0.0, rng)

    assert taken == [0, 0, 0, 1, 1, 1, 0, 0, 0]


def test_a_path_that_cannot_help_gives_way_at_once() -> None:
    route = Route(3, PACE)

    route.lost(0.0, random.Random(1), hopeless=True)

    assert route.at == 1
    assert list(route.better) == [0]


def test_a_link_that_held_forgives_what_was_before_it() -> None:
    route = Route(2, PACE, reached=True)
    rng = random.Random(1)
    for lasted in (0.0, 0.0, 10.0, 0.0):
        route.lost(lasted, rng)

    assert route.at == 0


def test_a_path_that_proved_itself_begins_anew() -> None:
    route = Route(2, PACE, reached=True)
    rng = random.Random(1)
    for _ in range(5):
        route.lost(0.0, rng)
    assert route.at == 1

    route.moved(0)
    waits = [route.lost(0.0, rng), route.lost(0.0, rng)]

    assert route.at == 0
    assert waits[0] <= 0.5
    assert waits[1] <= 1.0


@given(seed=st.integers(), losses=st.integers(1, 60), asked=st.floats(0, 30))
def test_waits_are_spread_from_nothing_to_a_bound_that_doubles_to_the_cap(
    seed: int, losses: int, asked: float
) -> None:
    route, rng = Route(1, PACE), random.Random(seed)

    waits = [route.lost(0.0, rng, retry_after=asked) - asked for _ in range(losses)]

    bounds = [max(asked, min(5.0, 0.5 * 2 ** min(n, 16))) for n in range(losses)]
    assert all(-1e-6 <= wait <= bound + 1e-6 for wait, bound in zip(waits, bounds, strict=True))


def test_a_thousand_clients_do_not_come_back_at_once() -> None:
    waits = sorted(Route(1, PACE).lost(0.0, random.Random(seed)) for seed in range(1000))

    assert waits[0] < 0.01
    assert waits[-1] > 0.49
    assert 0.2 < waits[500] < 0.3


def test_a_fleet_is_back_soon_after_a_long_outage_and_still_spread() -> None:
    outage, back = 60.0, []
    for seed in range(2000):
        route, rng, at = Route(1, Pace(), reached=True), random.Random(seed), 0.0
        while at < outage:
            at += route.lost(0.0, rng)
        back.append(at - outage)

    assert sorted(back)[1980] < 2.6
    assert max(sum(n <= each * 10 < n + 1 for each in back) for n in range(30)) < 200


def test_a_center_that_asks_for_a_year_gets_the_longest_wait() -> None:
    route, rng = Route(1, PACE, reached=True), random.Random(1)

    waits = [route.lost(0.0, rng, retry_after=3e7) for _ in range(100)]

    assert min(waits) >= PACE.longest
    assert max(waits) <= 2 * PACE.longest


def test_those_who_were_sent_away_together_do_not_come_together() -> None:
    rng = random.Random(3)

    waits = [Route(1, PACE, reached=True).lost(0.0, rng, retry_after=10.0) for _ in range(1000)]

    at_once = [sum(n <= wait < n + 1 for wait in waits) for n in range(10, 20)]
    assert sum(at_once) == 1000
    assert max(at_once) < 150


def test_what_one_center_asks_for_is_not_waited_for_at_the_next() -> None:
    route = Route(2, PACE, reached=True)

    wait = route.lost(0.0, random.Random(1), hopeless=True, retry_after=30.0)

    assert (route.at, wait <= 0.5) == (1, True)
