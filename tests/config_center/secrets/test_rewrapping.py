"""What a center believes of a ring that it finds, and how it wraps one anew."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from client_sdk.image import Ring
from client_sdk.keks import Kek, Keks
from client_sdk.sealing import RingEntry, unwrap, wrap
from config_center.secrets.rewrapping import believed, count, lacking, rewrapped, tombstones

OLD, NEW = Kek.from_secret(b"o" * 32), Kek.from_secret(b"n" * 32)
BOTH = Keks((NEW, OLD))
RNG = random.Random(7).randbytes
A, B = b"a" * 32, b"b" * 32


def entry(name: str, secret: bytes, kek: Kek = OLD, ns: str = "prod") -> str:
    return wrap(ns, name, secret, kek, RNG).encode()


def test_a_ring_wrapped_anew_opens_to_the_same_and_is_done_in_batches() -> None:
    ring = {"a": entry("a", A), "b": entry("b", B), "c": entry("c", A, NEW)}

    first = rewrapped("prod", ring, BOTH, RNG, 1)
    ring |= {name: new for name, (_, new) in first.items()}
    second = rewrapped("prod", ring, BOTH, RNG, 9)
    ring |= {name: new for name, (_, new) in second.items()}

    assert (list(first), list(second), rewrapped("prod", ring, BOTH, RNG, 9)) == (["a"], ["b"], {})
    opened = {n: unwrap("prod", n, RingEntry.parse(t), Keks((NEW,))) for n, t in ring.items()}
    assert opened == {"a": A, "b": B, "c": A}


def test_what_does_not_open_is_left_as_it_is() -> None:
    ring = {
        "torn": f"{OLD.id}:AAAA",
        "noise": "??",
        "other": entry("other", A, Kek.from_secret(b"x" * 32)),
    }

    assert rewrapped("prod", ring, BOTH, RNG, 9) == {}


def test_the_counts_say_what_any_copy_of_the_ring_still_needs() -> None:
    store = {"a": entry("a", A, NEW), "b": entry("b", B)}
    journal = {"a": entry("a", A), "b": store["b"]}

    assert count([store, journal]) == {NEW.id: 1, OLD.id: 2}
    assert lacking(store, {"a", "b"}, Keks((NEW,))) == {OLD.id: 1}
    assert lacking(store, {"a"}, Keks((NEW,))) == {}


def rewrapped_by_another() -> str:
    return entry("a", A, NEW)


def another_secret() -> str:
    return entry("a", B, NEW)


def of_another_name() -> str:
    return entry("b", A, NEW)


def of_another_namespace() -> str:
    return entry("a", A, NEW, "test")


def by_a_key_that_nobody_has() -> str:
    return entry("a", A, Kek.from_secret(b"x" * 32))


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        (rewrapped_by_another, True),
        (another_secret, False),
        (of_another_name, False),
        (of_another_namespace, False),
        (by_a_key_that_nobody_has, False),
        (lambda: "??", False),
    ],
)
def test_another_wrapping_counts_when_it_opens_to_the_same(
    found: Callable[[], str], taken: bool
) -> None:
    mine, theirs = {"a": entry("a", A)}, {"a": found()}

    assert believed("prod", mine, theirs, (), BOTH) == (theirs if taken else mine)


def test_a_center_whose_own_copy_opens_no_more_takes_one_that_does() -> None:
    """It was away during the whole exchange, and the old key was dropped."""
    mine, theirs = {"a": entry("a", A)}, {"a": entry("a", A, NEW)}

    assert believed("prod", mine, theirs, (), Keks((NEW,))) == theirs


def test_nothing_is_lost_of_either_side_but_what_was_shredded() -> None:
    mine: Ring = {"a": entry("a", A), "gone": entry("gone", A)}
    found: Ring = {"b": entry("b", B), "gone": mine["gone"]}
    keys = {"llm", "_shredded.gone"}

    assert believed("prod", mine, found, keys, BOTH) == {"a": mine["a"], "b": found["b"]}
    assert tombstones(keys) == ["gone"]
