"""Probation: twice is enough, a clean end counts nothing, newer content is another case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client_sdk import probation
from client_sdk.holding import Group, Holding, blank
from client_sdk.outcomes import Refusal
from client_sdk.probation import Case, Probation, restored
from client_sdk.records import Position
from client_sdk.state import Entry, NamespaceState
from tests.client_sdk.serving_world import World, content


def entry(key: str, version: int) -> Entry:
    return Entry(key, Position(1, version), version, content(version, version))


def state(*keys: str) -> NamespaceState:
    world = World()
    world.change(*(world.put(key, "new") for key in keys))
    return world.state


A, B = {"a": entry("a", 1)}, {"b": entry("b", 1)}
AB = {**A, **B}


def begun(*cases: Case, group: dict[str, Entry], fresh: bool = True) -> tuple[Case, ...]:
    return Probation(cases).begin([Group(group)], {"m"}, fresh=fresh).cases


def test_a_change_is_on_probation_until_it_was_lived_with() -> None:
    begin = Probation().begin([Group(A), Group(B)], {"b"}, fresh=True)
    assert begin.cases == (Case(A), Case(B, module=True))

    settled = begin.settled(Holding(), 10.0)

    assert begin.outlived(1e9) == begin
    assert settled.outlived(9.9) == settled
    assert settled.outlived(10.0) == Probation()
    later = settled.begin([Group({"c": entry("c", 1)})], (), fresh=True).settled(Holding(), 12.0)
    assert [case.until for case in later.cases] == [10.0, 10.0, 12.0]


def test_what_was_refused_is_held_and_not_on_probation() -> None:
    begin = Probation().begin([Group(A), Group(B)], (), fresh=True)

    held = Holding((Group(AB | {"z": entry("z", 1)}, asleep=True), Group(A)))

    assert begin.settled(held, 1.0).cases == (Case(B, until=1.0),)


def test_newer_content_is_another_case_and_keeps_what_was_outlived() -> None:
    dying = Case(A, deaths=1, until=3.0)
    newer = {"a": entry("a", 2), "b": entry("b", 7)}

    assert begun(dying, group=newer) == (Case({"a": A["a"], "b": entry("b", 7)}),)
    assert begun(dying, Case(B, deaths=1), group=newer) == (Case(AB),)
    assert begun(dying, group=B) == (dying, Case(B))
    assert begun(Case({"a": blank("a")}), group=newer) == (Case(newer),)


def test_the_same_content_tried_by_another_process_keeps_its_deaths() -> None:
    waiting = Case(A, deaths=1, module=True, tried=False)

    assert begun(waiting, group=A, fresh=False) == (Case(A, deaths=1),)
    assert begun(group=A, fresh=False) == (Case(A),)


def test_newer_content_for_what_waits_is_another_case() -> None:
    waiting = Case(A, deaths=1, module=True, tried=False)
    cases = Probation((waiting, replace(waiting, older=B), Case({"c": entry("c", 1)}, deaths=1)))

    assert [case.deaths for case in cases.renewed({"a", "c"}).cases] == [0, 1, 1]


def test_the_nearest_end_of_a_case_is_known() -> None:
    assert Probation((Case(A),)).nearest is None
    assert Probation((Case(A, until=3.0), Case(B, until=2.0))).nearest == 2.0


def test_only_what_was_tried_is_blamed_for_a_death() -> None:
    cases = Probation((Case(A, deaths=1), Case(B, module=True, tried=False)))

    assert [case.deaths for case in cases.died().cases] == [2, 0]


def test_the_second_death_condemns() -> None:
    once, twice = Case(A, deaths=1, until=1.0), Case(B, deaths=2)

    open_, condemned = Probation((once, twice)).resumed()

    assert (open_.cases, condemned) == ((Case(A, deaths=1),), (twice,))
    waits, _ = Probation((replace(once, module=True),)).resumed()
    assert waits.cases == (Case(A, deaths=1, module=True, tried=False),)


def test_a_new_process_holds_back_what_waits_and_what_is_condemned() -> None:
    before = Holding((Group({"x": entry("x", 1)}), Group({**A, "y": entry("y", 1)})))
    waits = Case(A, deaths=1, module=True)

    open_ = Probation((waits, Case({"s": entry("s", 1)})))
    held = restored(before, open_, (Case(B),), state(*"abxys"), frozenset("bx"))

    dead = Group(B, held.groups[1].why, asleep=True, crashed=True)
    assert held.groups == (
        Group({**A, "y": entry("y", 1)}, asleep=True),
        dead,
        Group({"x": entry("x", 1)}, asleep=True),
    )
    assert dead.why == (
        Refusal(
            frozenset("b"),
            "b",
            1,
            "stable",
            "crash",
            "the process ended 2 times soon after it was applied; publish another version, or ask "
            "for another try",
        ),
    )
    again = restored(held, Probation(), (), state(*"abxys"), frozenset())
    assert [group.crashed for group in again.groups] == [False, True, False]
    assert [group.asleep for group in again.groups] == [False] * 3
    assert again.groups[1] == replace(dead, asleep=False)


def test_what_did_not_come_to_be_on_disk_is_nothing_to_hold_back() -> None:
    """Two processes died between the note of a new key and its snapshot."""
    new = Case({"new": blank("new")}, deaths=2)

    assert restored(Holding(), Probation(), (new,), state("a"), frozenset()) == Holding()


def test_what_is_gone_is_not_brought_back() -> None:
    assert restored(Holding(), Probation(), (Case(AB),), state("a"), frozenset()).older == A
    (dead,) = restored(
        Holding((Group(B, crashed=True),)), Probation(), (), state("a"), frozenset()
    ).groups
    assert dead.why[0].version is None


@pytest.mark.parametrize(("cases", "bound"), [(2, 10_000), (32, 1 << 40)])
def test_what_is_kept_is_bounded_and_the_oldest_goes(
    monkeypatch: pytest.MonkeyPatch, cases: int, bound: int
) -> None:
    monkeypatch.setattr(probation, "_BYTES", bound)
    big = "x" * 4_000
    groups = [
        Group({f"k{n}": Entry(f"k{n}", Position(1, n + 1), 1, content(1, big))}) for n in range(40)
    ]

    kept = Probation().begin(groups, (), fresh=True).cases

    assert [case.older for case in kept] == [group.older for group in groups[-cases:]]
