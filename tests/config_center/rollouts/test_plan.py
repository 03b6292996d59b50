from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client_sdk.contents import Op
from client_sdk.records import Position
from client_sdk.state import NamespaceState
from config_center.problems import Problem
from config_center.rollouts.plan import Move, Terms, plan_move, supersede
from tests.history import content

TEN = {"percent": 10, "steps": [10, 25]}


def state(**terms: Any) -> NamespaceState:
    """Keys a and b share a rollout from version 1 to 2; c is free."""
    rollout = Terms.read({**TEN, **terms}).start("ro", ("a", "b"), 5, "alice")
    ops = [
        Op(key, "set", 2, content(1), replace(rollout, content=content(2, 2))) for key in ("a", "b")
    ]
    return NamespaceState.empty().after([*ops, Op("c", "set", 1, content(1))], Position(1, 2))


def test_a_move_touches_all_keys_and_changes_only_the_share() -> None:
    before = state().entries
    ops = plan_move(state(), "a", Move("step"))

    assert [(op.key, op.op, op.latest, op.content) for op in ops] == [
        ("a", "rollout", 2, content(1)),
        ("b", "rollout", 2, content(1)),
    ]
    assert ops[0].rollout == replace(before["a"].rollout, percent=25.0, step=2)


def test_promote_serves_the_canary_and_abort_the_stable_content() -> None:
    promoted = plan_move(state(), "ro", Move("promote"))
    aborted = plan_move(state(), "ro", Move("abort"))

    assert {(op.content, op.rollout, op.latest) for op in promoted} == {(content(2, 2), None, 2)}
    assert {(op.content, op.rollout, op.latest) for op in aborted} == {(content(1), None, 2)}


def test_after_the_last_step_somebody_must_say_how_far() -> None:
    with pytest.raises(Problem, match="no further step"):
        plan_move(state(percent=25), "ro", Move("step"))
    ops = plan_move(state(percent=25), "ro", Move("step", 25.5))
    assert ops[0].rollout.percent == 25.5


def test_only_running_rollouts_can_be_moved() -> None:
    for which in ("c", "nobody"):
        with pytest.raises(Problem) as refused:
            plan_move(state(), which, Move("abort"))
        assert refused.value.name == "not-found"


def test_superseding_ends_the_whole_rollout() -> None:
    assert supersede(state(), ["c"], allowed=False) == {}
    with pytest.raises(Problem) as refused:
        supersede(state(), ["a"], allowed=False)
    assert (refused.value.name, refused.value.members["keys"]) == ("rollout-running", ["a", "b"])
    assert set(supersede(state(), ["a"], allowed=True)) == {"a", "b"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"percent": -1},
        {"percent": True},
        {"percent": 0.0004},
        {"percent": 99.9996},
        {"percent": "10"},
        {"percent": 1, "unit": "user"},
        {"percent": 1, "salt": ""},
        {"percent": 1, "allow": "a"},
        {"percent": 1, "deny": ["a*b"]},
        {"percent": 1, "rules": [{"attribute": "a"}]},
        {"percent": 1, "steps": [20, 10]},
        {"percent": 1, "steps": [{"percent": 10}]},
        {"percent": 1, "steps": 10},
        {"percent": 1, "min_devices": 0},
        {"percent": 1, "percnt": 2},
    ],
)
def test_terms_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        Terms.read(wrong)
    assert refused.value.name == "invalid"


def test_devices_are_listed_in_lower_case_and_instances_as_they_are() -> None:
    assert Terms.read({"percent": 1, "allow": ["AA:*"]}).allow == ("aa:*",)
    assert Terms.read({"percent": 1, "unit": "instance", "deny": ["GW"]}).deny == ("GW",)
