"""What may be shredded, and what says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client_sdk.contents import Rollout
from client_sdk.records import Position
from client_sdk.state import Entry, NamespaceState
from config_center.problems import Problem
from config_center.secrets.shredding import (
    Shredded,
    check_again,
    gone_in,
    plan_lost,
    plan_shred,
    tells_of,
)
from tests.history import content


def sealed(dek: str) -> dict[str, object]:
    return {"api_key": {"$sealed": {"dek": dek}}}


def state(entry: Entry | None, *shredded: str) -> NamespaceState:
    entries = {} if entry is None else {entry.key: entry}
    for dek in shredded:
        name = f"_shredded.{dek}"
        entries[name] = Entry(name, Position(1, 1), 1, content({}, 1), None)
    return replace(NamespaceState.empty(), entries=entries)


SERVED = Entry("llm", Position(1, 2), 2, content(sealed("new"), 2), None)


def test_a_version_of_the_past_is_named_by_each_of_its_data_keys() -> None:
    planned = plan_shred(state(SERVED, "c"), "llm", 1, ["b", "a", "c"])

    assert [(op.key, op.op, op.latest) for op in planned.ops] == [
        ("_shredded.a", "set", 1),
        ("_shredded.b", "set", 1),
    ]
    assert plan_shred(state(None), "removed", 1, ["a"]).ops


def test_with_a_lost_key_also_what_is_served_is_gone() -> None:
    planned = plan_lost(state(SERVED, "c"), "kek-1", ["new", "c"])

    assert [op.key for op in planned.ops] == ["_shredded.new"]


def test_what_is_served_is_not_shredded() -> None:
    rollout = Rollout("r", 10.0, "device", "s", ("llm",), content(sealed("canary"), 3))
    running = replace(SERVED, latest=3, rollout=rollout)

    for dek, version in (("new", 2), ("canary", 3)):
        with pytest.raises(Problem, match=f"version {version} of llm is served") as refused:
            plan_shred(state(running), "llm", version, [dek])
        assert refused.value.name == "in-use"


def test_which_keys_something_destroyed_may_be_of_is_told_by_its_record() -> None:
    told = content({"key": "llm", "version": 1}, 1)
    own = Entry("_shredded.a", Position(1, 1), 1, told, None)
    known = replace(NamespaceState.empty(), entries={"llm": SERVED, own.key: own})

    assert (tells_of("llm", known), tells_of("tts", known)) == (True, False)
    assert tells_of("tts", state(SERVED, "b")), "one that says of no key may be of any"
    assert not tells_of("llm", state(SERVED))


def test_what_is_gone_is_known_by_the_keys_of_the_namespace() -> None:
    keys = state(SERVED, "new").entries

    assert ("new" in Shredded(keys), "old" in Shredded(keys)) == (True, False)
    assert gone_in(sealed("new"), keys) == {"new"}
    assert gone_in("text", keys) == frozenset()


def test_a_shredding_that_was_lost_comes_back_but_over_what_is_served_by_now() -> None:
    (old,) = plan_shred(state(None), "llm", 1, ["old"]).ops
    (new,) = plan_shred(state(None), "llm", 1, ["new"]).ops
    (lost,) = plan_lost(state(None), "kek-1", ["new"]).ops

    check_again(state(SERVED), old)
    check_again(state(SERVED), lost)  # it opens nowhere, served or not
    with pytest.raises(Problem, match="is served and has this secret"):
        check_again(state(SERVED), new)
