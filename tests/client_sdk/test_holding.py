"""The laws of holding, and a random history that keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from client_sdk.holding import Group, Holding, Trial, begin, blank, wake, wake_all
from client_sdk.outcomes import Refusal
from client_sdk.records import Position
from client_sdk.state import Entry
from tests.client_sdk.serving_world import content, rollout


def entry(key, version, ro=None):
    return Entry(key, Position(1, version), version, content(version, version), ro)


def refusal(key, arm="stable"):
    return Refusal(frozenset({key}), key, 1, arm, "build", "no")


def test_a_blank_entry_serves_nothing():
    assert not blank("a").exists


def test_a_failing_key_holds_its_whole_change():
    before = {"a": entry("a", 1)}
    trial = begin(Holding(), "ab", before.get)
    assert trial == Trial(Holding(), (Group({"a": entry("a", 1), "b": blank("b")}),))

    after = trial.after([refusal("b")], {}.get)

    (group,) = after.holding.groups
    assert (group.older, group.why, after.tried) == (trial.tried[0].older, (refusal("b"),), ())
    assert group.refusals() == (replace(refusal("b"), keys=frozenset("ab")),)
    assert after.holding.older == group.older


def test_at_first_contact_each_key_stands_for_itself():
    trial = begin(Holding(), "ab", {}.get, first=True)

    after = trial.after([refusal("b")], {}.get)

    assert [group.keys for group in after.holding.groups] == [frozenset("b")]
    assert [group.keys for group in after.tried] == [frozenset("a")]


def test_a_change_of_nothing_tries_nothing():
    assert begin(Holding(), (), {}.get) == Trial(Holding())


def test_a_change_that_touches_held_keys_joins_all_their_groups_and_keeps_the_oldest():
    held = Holding(
        (Group({"a": entry("a", 1)}), Group({"b": entry("b", 1)}), Group({"z": blank("z")}))
    )
    before = {"a": entry("a", 1), "b": entry("b", 1), "c": entry("c", 5)}

    trial = begin(held, "abc", before.get)

    assert trial.holding.groups == (held.groups[2],)
    assert [group.older for group in trial.tried] == [before]


def test_what_sleeps_is_joined_but_not_tried_until_it_is_woken():
    held = Holding(tuple(Group({key: entry(key, 1)}, asleep=True) for key in "ab"))

    trial = begin(held, "ac", {"c": entry("c", 1), "a": entry("a", 1)}.get)

    assert trial.tried == ()
    joined = trial.holding.groups[-1]
    assert (joined.keys, joined.asleep) == (frozenset("ac"), True)
    woken = wake(trial.holding, ["c"])
    assert (woken.tried, [g.keys for g in woken.holding.groups]) == ((joined,), [frozenset("b")])
    assert wake(woken.holding, ["x"]) == Trial(woken.holding)
    assert wake_all(held, crashed=False) == Trial(Holding(), held.groups)


def test_what_processes_died_of_is_tried_again_only_when_a_person_asks_or_it_changes():
    dead = Group({"a": entry("a", 1)}, (refusal("a"),), crashed=True)
    held = Holding((dead, Group({"b": entry("b", 1)})))

    assert wake(held, "a") == Trial(held)
    assert wake_all(held, crashed=False) == Trial(Holding((dead,)), held.groups[1:])
    assert wake_all(held, crashed=True) == Trial(Holding(), held.groups)
    assert begin(held, "a", {}.get).tried == (Group(dead.older),)
    (failed,) = Trial(Holding(), (dead,)).after([refusal("a")], {}.get).holding.groups
    assert not failed.crashed


def test_a_change_of_a_key_whose_module_is_awaited_sleeps_until_the_last_of_them_came():
    before = {"a": entry("a", 1), "b": entry("b", 1)}

    trial = begin(Holding(), "ab", before.get, awaited=frozenset("ab"))

    (group,) = trial.holding.groups
    assert (group.older, group.asleep, trial.tried) == (before, True, ())
    assert wake(trial.holding, "a", frozenset("b")) == trial
    assert wake(trial.holding, "b", frozenset()).tried == (group,)


def test_what_processes_died_of_wakes_with_its_module_and_is_not_tried():
    dead = Group({"a": entry("a", 1)}, (refusal("a"),), asleep=True, crashed=True)

    trial = wake(Holding((dead,)), "a")

    assert trial == Trial(Holding((replace(dead, asleep=False),)))
    joined = begin(Holding((dead,)), "a", {}.get).holding.groups[0]
    assert (joined.asleep, joined.crashed) == (True, False)


def test_a_woken_group_that_fails_is_held_awake():
    trial = wake_all(Holding((Group({"a": blank("a")}, asleep=True),)), crashed=False)
    (group,) = trial.after([refusal("a")], {}.get).holding.groups
    assert not group.asleep


def test_a_failing_key_without_older_content_becomes_blank():
    trial = Trial(Holding()).after([refusal("a")], {"a": entry("a", 1)}.get)
    assert trial.holding.older == {"a": blank("a")}


def test_a_failing_canary_without_older_content_loses_its_rollout_whole():
    ro = rollout("ro", content(2, 2), keys=("a", "b", "c"))
    other = rollout("other", content(2, 2), keys=("c",))
    serving = {"a": entry("a", 1, ro), "b": entry("b", 1, ro), "c": entry("c", 1, other)}
    held = Holding((Group({"b": serving["b"], "x": blank("x")}, (refusal("x"),)),))

    trial = Trial(held).after([refusal("a", "canary")], serving.get)

    (group,) = trial.holding.groups
    assert group.older == {"a": entry("a", 1), "b": entry("b", 1), "x": blank("x")}
    assert group.why == (refusal("x"), refusal("a", "canary"))


def test_a_canary_failure_of_a_key_without_rollout_is_a_failure_of_the_key():
    for serving in ({}, {"a": entry("a", 1)}):
        trial = Trial(Holding()).after([refusal("a", "canary")], serving.get)
        assert trial.holding.older == {"a": blank("a")}


KEYS = "abcde"


class Histories(RuleBasedStateMachine):
    """Changes of some keys, each content good or bad: no change is ever served in part."""

    def __init__(self):
        super().__init__()
        self.target = {}
        self.holding = Holding()
        self.revision = 0
        self.bad = set()
        self.links = []  # the keys of each change

    def serving(self, key):
        return self.holding.older.get(key) or self.target.get(key)

    def settle(self, trial):
        rounds = 0
        while True:
            now = {**self.target, **trial.holding.older}
            failing = [refusal(key) for key in sorted(now) if (key, now[key].latest) in self.bad]
            if not failing:
                break
            trial = trial.after(failing, now.get)
            rounds += 1
            assert rounds <= len(KEYS) + 2
        self.holding = trial.holding

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1), bad=st.sets(st.sampled_from(KEYS)))
    def publish(self, keys, bad):
        first = not self.target
        before = {key: self.serving(key) for key in keys}
        self.revision += 1
        for key in keys:
            self.target[key] = entry(key, self.revision)
            if key in bad:
                self.bad.add((key, self.revision))
        self.links.append((self.revision, frozenset(keys), first))
        self.settle(begin(self.holding, keys, before.get, first=first))

    @rule()
    def mend_and_retry(self):
        self.bad.clear()
        self.settle(wake_all(self.holding, crashed=True))
        assert self.holding == Holding()

    @rule()
    def restart(self):
        asleep = [replace(group, asleep=True) for group in self.holding.groups]
        self.holding = Holding(tuple(asleep))
        self.settle(wake(self.holding, KEYS))

    @invariant()
    def groups_are_disjoint(self):
        assert len(self.holding.older) == sum(len(group.older) for group in self.holding.groups)

    @invariant()
    def nothing_bad_serves(self):
        for key in self.target:
            found = self.serving(key)
            assert (key, found.latest) not in self.bad

    @invariant()
    def no_change_is_served_in_part(self):
        for revision, keys, first in self.links:
            if first:
                continue
            newest = [self.target[key].latest >= revision for key in keys]
            assert all(newest)
            served = {self.serving(key).latest >= revision for key in keys}
            assert len(served) == 1, (revision, keys)


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestHistories = pytest.mark.timeout(50)(Histories.TestCase)
