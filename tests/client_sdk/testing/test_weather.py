"""What becomes of messages is the seed's choice, in the shares that were asked for."""

from __future__ import annotations

import random

from client_sdk.testing.weather import Fate, Weather

BAD = Weather(drop=0.2, duplicate=0.1, reorder=0.1, delay=(0.01, 0.02))


def fates(seed: int, count: int) -> list[Fate]:
    rng = random.Random(seed)
    return [BAD.fate(rng) for _ in range(count)]


def test_the_same_seed_is_the_same_day() -> None:
    assert fates(7, 100) == fates(7, 100) != fates(8, 100)


def test_the_shares_are_those_that_were_asked_for() -> None:
    seen = fates(7, 10_000)

    shares = [sum(fate.copies == copies for fate in seen) / 10_000 for copies in (0, 2)]
    overtaken = sum(fate.overtaken for fate in seen) / 10_000
    assert [round(share, 1) for share in (*shares, overtaken)] == [0.2, 0.1, 0.1]
    assert not any(fate.overtaken for fate in seen if fate.copies == 0)


def test_good_weather_changes_nothing() -> None:
    rng = random.Random(1)

    assert {Weather().fate(rng) for _ in range(100)} == {Fate()}
    assert Weather().wait(rng) == 0.0


def test_a_delay_lies_between_its_bounds() -> None:
    rng = random.Random(1)

    assert all(0.01 <= BAD.wait(rng) <= 0.02 for _ in range(100))
