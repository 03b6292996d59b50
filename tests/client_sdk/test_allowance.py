"""A token bucket: what it gives at once, and what time brings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client_sdk.allowance import Allowance, Bucket

ONE_A_SECOND = Allowance(1.0, 2.0)


def test_a_bucket_gives_its_burst_and_then_what_time_brings() -> None:
    bucket = Bucket.full(ONE_A_SECOND, 0.0)

    waits = [bucket.take(now) for now in (0.0, 0.0, 0.0, 0.5, 1.0, 1.0)]

    assert waits == [0.0, 0.0, 1.0, 0.5, 0.0, 1.0]


def test_a_bucket_never_holds_more_than_its_burst_nor_gains_by_a_clock_that_goes_back() -> None:
    bucket = Bucket.full(ONE_A_SECOND, 10.0)
    bucket.fill(1000.0)
    assert bucket.level == 2.0

    bucket.take(1000.0)
    bucket.fill(5.0)
    assert (bucket.level, bucket.at) == (1.0, 1000.0)
    bucket.put_back()
    bucket.put_back()
    assert bucket.level == 2.0


@given(st.lists(st.floats(0, 100), max_size=200))
def test_no_sequence_of_times_gets_more_than_burst_and_rate(gaps: list[float]) -> None:
    bucket, now, taken = Bucket(Allowance(2.0, 5.0), 5.0, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now) == 0.0

    assert taken <= 5.0 + 2.0 * now + 1e-6
