"""Who is let in: buckets, their bound, and a whole fleet that comes at once."""

from __future__ import annotations

import random

import pytest

from client_sdk.allowance import Allowance
from client_sdk.route import Pace, Route
from config_center.admission import Buckets, Gate, Refusal, Rules, address_of
from config_center.bounds import Admission

ONE_A_SECOND = Allowance(1.0, 2.0)


def gate(**limits: float) -> Gate:
    a = Admission(**limits)  # type: ignore[arg-type]
    return Gate(
        Rules(
            client=Allowance(a.client_rate, a.client_burst),
            everybody=Allowance(a.rate, a.burst),
            watches=a.watches,
            wrong_tokens=Allowance(a.wrong_token_rate, a.wrong_token_burst),
        )
    )


def test_the_table_is_bounded_and_lets_go_of_whom_it_saw_longest_ago() -> None:
    buckets = Buckets(ONE_A_SECOND, most=2)
    a, b = buckets.of("a", 0.0), buckets.of("b", 0.0)
    assert buckets.of("a", 0.0) is a

    buckets.of("c", 0.0)

    assert len(buckets) == 2
    assert buckets.of("a", 0.0) is a
    assert buckets.of("b", 0.0) is not b


def test_one_that_runs_wild_takes_nothing_from_the_others() -> None:
    door = gate(rate=1, burst=4, client_rate=1, client_burst=2)

    wild = [door.enter("whole", "wild", 0.0) for _ in range(10)]
    others = [door.enter("whole", name, 0.0) for name in ("a", "b", "c")]

    assert wild[:2] == [None, None]
    assert all(isinstance(each, Refusal) for each in wild[2:])
    assert others[:2] == [None, None]
    assert others[2] == Refusal(1.0)


def test_what_the_common_bucket_refuses_is_not_taken_from_ones_own() -> None:
    door = gate(rate=1, burst=1, client_rate=0.001, client_burst=1)
    assert door.enter("whole", "a", 0.0) is None

    assert door.enter("whole", "b", 0.0) == Refusal(1.0)

    assert door.enter("whole", "b", 1.0) is None


def test_streams_and_wholes_do_not_take_from_each_other() -> None:
    door = gate(client_burst=1, burst=1)

    assert [door.enter("stream", "a", 0.0), door.enter("whole", "a", 0.0)] == [None, None]


def test_only_so_many_streams_are_in_at_once() -> None:
    door = gate(watches=2)
    assert [door.enter("stream", "a", 0.0), door.enter("stream", "b", 0.0)] == [None, None]

    full = door.enter("stream", "c", 0.0)
    assert full is not None
    assert (full.full, full.retry_after) == (True, "5")
    assert door.enter("whole", "c", 0.0) is None
    door.leave("whole")
    assert door.streams == 2

    door.leave("stream")
    assert door.enter("stream", "c", 0.0) is None


def test_wrong_tokens_are_limited_by_address() -> None:
    door = gate(wrong_token_rate=1, wrong_token_burst=2)

    heard = [door.wrong_token("a", 0.0) for _ in range(3)]

    assert heard == [None, None, Refusal(1.0)]
    assert door.wrong_token("b", 0.0) is None


@pytest.mark.parametrize(("seconds", "header"), [(0.001, "1"), (1.0, "1"), (1.2, "2")])
def test_the_time_to_come_again_is_rounded_up(seconds: float, header: str) -> None:
    assert Refusal(seconds).retry_after == header


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("127.0.0.1", "6.6.6.6, 10.0.0.9", "10.0.0.9"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("2001:db8::1", None, "2001:db8::/64"),
        ("2001:db8::ffff", None, "2001:db8::/64"),
        ("2001:db8:0:1::1", None, "2001:db8:0:1::/64"),
        (None, None, ""),
    ],
)
def test_an_address_is_what_the_nearest_proxy_saw_and_a_network_of_ipv6(
    remote: str | None, forwarded: str | None, address: str
) -> None:
    assert address_of(remote, forwarded) == address


@pytest.mark.parametrize(
    ("clients", "tokens", "seconds"), [(1_000, 1_000, 1.0), (1_000, 1, 1.0), (5_000, 5_000, 15.0)]
)
def test_a_fleet_that_lost_its_center_is_back_within_seconds_under_the_default_limits(
    clients: int, tokens: int, seconds: float
) -> None:
    """Each of them opens a stream and reads the whole; all lost the center at the same moment."""
    door, rng = gate(), random.Random(7)
    routes = [Route(1, Pace(), reached=True) for _ in range(clients)]
    due = sorted((routes[n].lost(60.0, rng), n, "stream") for n in range(clients))
    done, refused = 0.0, 0
    while due:
        now, n, cost = due.pop(0)
        refusal = door.enter(cost, n % tokens, now)
        if refusal is None and cost == "whole":
            done = now
            continue
        if refusal is not None:
            refused += 1
            again = float(refusal.retry_after)
            due.append((now + routes[n].lost(0.0, rng, retry_after=again), n, cost))
        else:
            due.append((now, n, "whole"))
        due.sort()
    print(f"{clients} clients with {tokens} tokens: the last after {done:.1f} s, {refused} refused")

    assert done <= seconds
    assert refused == 0 if clients <= 1_000 else refused < clients * 3
