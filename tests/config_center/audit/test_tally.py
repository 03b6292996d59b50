"""Which refusals are written down by themselves, and that none is left out."""

from __future__ import annotations

from dataclasses import replace

from config_center.audit.entries import REPEATED, Entry
from config_center.audit.tally import KNOWN, MOST, STRANGER, STRANGERS, WINDOW, Tally

WRONG = Entry(
    at=1_000, outcome="refused", address="10.0.0.1", method="GET", route="whoami",
    problem="unauthorized", status=401, request="r", comment="once",
)  # fmt: skip
KEY = Entry(
    at=1_000, outcome="refused", actor="ci", token="t1", role="reader", address="10.0.0.1",
    method="PUT", route="put_key", namespace="default", keys=("a",), problem="forbidden",
)  # fmt: skip


def test_the_first_is_written_and_the_same_again_is_counted_and_told() -> None:
    tally = Tally()

    written = [tally.take(WRONG, now) for now in (0.0, 1.0, 2.0)]

    assert written == [True, False, False]
    assert tally.due(WINDOW - 1, 9_000) == []
    (told,) = tally.due(WINDOW, 9_000)
    assert told == replace(
        WRONG, at=9_000, event=REPEATED, times=2, since=1_000, request="", comment=""
    )
    assert tally.due(10 * WINDOW, 9_000) == []


def test_what_happened_once_is_not_told_twice() -> None:
    tally = Tally()
    tally.take(WRONG, 0.0)

    assert tally.due(WINDOW, 9_000) == []
    assert tally.take(WRONG, WINDOW)


def test_whatever_differs_is_written_by_itself() -> None:
    tally = Tally()
    different = [
        KEY,
        replace(KEY, token="t2"),
        replace(KEY, address="10.0.0.2"),
        replace(KEY, keys=("b",)),
        replace(KEY, namespace="other"),
        replace(KEY, route="delete_key"),
        replace(KEY, problem="version-moved"),
    ]

    assert all(tally.take(entry, 0.0) for entry in different)


def test_a_network_is_one_stranger() -> None:
    tally = Tally()
    addresses = ("2001:db8::1", "2001:db8::2")

    assert [tally.take(replace(WRONG, address=a), 0.0) for a in addresses] == [True, False]


def test_a_flood_from_everywhere_writes_a_hundred_entries_and_then_one_a_minute() -> None:
    tally, written, told, times = Tally(), 0, 0, 0
    minutes = 60
    for second in range(minutes * 60):
        for n in range(5):
            number = second * 5 + n
            address = (
                f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            )
            written += tally.take(replace(WRONG, address=address), float(second))
        due = tally.due(float(second), second * 1000)
        told += len(due)
        times += sum(entry.times for entry in due)
    rest = tally.due(minutes * 60.0, 0, everything=True)
    times += sum(entry.times for entry in rest)

    assert written <= STRANGERS.burst + minutes
    assert told <= minutes
    assert written + times == minutes * 60 * 5


def test_one_stranger_does_not_use_up_what_is_there_for_all() -> None:
    tally = Tally()
    routes = [replace(WRONG, route=f"r{n}") for n in range(200)]

    written = sum(tally.take(entry, 0.0) for entry in routes)

    assert written == STRANGER.burst
    assert tally.take(replace(WRONG, address="10.0.0.2"), 0.0)


def test_too_many_different_ones_of_a_token_are_told_together_by_its_name() -> None:
    tally = Tally()
    for n in range(int(KNOWN.burst) + 7):
        tally.take(replace(KEY, keys=(f"k{n}",)), 0.0)

    (told,) = [entry for entry in tally.due(WINDOW, 9_000) if entry.times]

    assert (told.actor, told.token, told.times, told.keys, told.route) == ("ci", "t1", 7, (), "")


def test_what_is_counted_at_once_is_bounded_and_nothing_is_left_out() -> None:
    tally, total = Tally(), 5 * MOST
    written = sum(tally.take(replace(KEY, token=f"t{n}"), 0.0) for n in range(total))

    told = tally.due(WINDOW, 9_000)

    assert len(tally._counts) == 0
    assert written == MOST
    assert len(told) <= MOST + 1
    assert written + sum(entry.times for entry in told) == total
