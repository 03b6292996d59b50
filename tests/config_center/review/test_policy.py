"""The judge: every rule, everybody it is for, and the ways past it."""

from __future__ import annotations

import pytest

from client_sdk.records import Position
from client_sdk.state import NamespaceState
from config_center.access import Actor
from config_center.problems import Problem
from config_center.review.policy import (
    BEGIN,
    DEFINE,
    END,
    FREEZE,
    GOVERN,
    GROW,
    KINDS,
    POLICY,
    PUBLISH,
    REVERT,
    Freeze,
    Intent,
    Policy,
    center_freeze,
    changed,
    check_reason,
    check_urgent,
    may_publish,
    policy_of,
    record_op,
)

PUBLISHER = Actor("pat", "publisher")
ADMIN = Actor("ann", "admin")
ICE = Freeze("ann", "incident 4711", 1_700_000_000_000)
FROZEN = Policy(frozen=ICE)
TWO = Policy(two_person=True)
EVERY_KIND = (PUBLISH, GROW, REVERT, DEFINE, GOVERN, BEGIN, END)


def judged(
    policy: Policy, intent: Intent, actor: Actor = PUBLISHER, center: Freeze | None = None
) -> str:
    try:
        may_publish(policy, center, actor, intent)
    except Problem as problem:
        return problem.name
    return "passes"


def refused(policy: Policy, actor: Actor = PUBLISHER, center: Freeze | None = None) -> set[str]:
    """The kinds that do not pass."""
    return {k for k in EVERY_KIND if judged(policy, Intent(k), actor, center) != "passes"}


def test_without_a_policy_everything_passes() -> None:
    assert refused(Policy()) == set()
    assert set(KINDS.values()) == set(EVERY_KIND)


@pytest.mark.parametrize("actor", [PUBLISHER, ADMIN], ids=lambda actor: actor.role)
def test_a_freeze_stops_what_is_new_and_what_grows_and_never_the_way_back(actor: Actor) -> None:
    stopped = {PUBLISH, GROW, DEFINE, END}

    assert refused(FROZEN, actor) == stopped
    assert refused(Policy(), actor, center=ICE) == stopped


def test_a_freeze_names_who_why_and_since_when() -> None:
    with pytest.raises(Problem) as stopped:
        may_publish(FROZEN, None, PUBLISHER, Intent(PUBLISH))

    assert (stopped.value.name, stopped.value.status) == ("frozen", 503)
    assert "frozen by ann on 2023-11-14T22:13:20.000Z: incident 4711" in stopped.value.detail
    assert stopped.value.members == {
        "by": "ann",
        "reason": "incident 4711",
        "since": "2023-11-14T22:13:20.000Z",
    }


@pytest.mark.parametrize("policy", [FROZEN, TWO], ids=["frozen", "two-person"])
def test_urgent_opens_for_an_admin_and_for_nobody_else(policy: Policy) -> None:
    urgent = Intent(PUBLISH, urgent=True)

    assert judged(policy, urgent, ADMIN) == "passes"
    assert judged(policy, urgent, PUBLISHER) != "passes"


def test_two_persons_agree_on_what_is_new_and_one_gives_it_to_more() -> None:
    assert refused(TWO) == refused(TWO, ADMIN) == {PUBLISH, DEFINE, END}
    assert {judged(TWO, Intent(k)) for k in (PUBLISH, DEFINE, END)} == {"needs-approval"}
    assert judged(TWO, Intent(PUBLISH, approved=True)) == "passes"


def test_nobody_ends_a_namespace_of_two_persons_alone() -> None:
    with pytest.raises(Problem, match="nobody ends it alone"):
        may_publish(TWO, None, ADMIN, Intent(END))


def test_one_admin_adds_a_rule_and_two_persons_take_it_away() -> None:
    assert judged(TWO, Intent(GOVERN), ADMIN) == "passes"
    assert judged(TWO, Intent(GOVERN, weakens=True), ADMIN) == "needs-approval"
    assert judged(TWO, Intent(GOVERN, weakens=True, approved=True), ADMIN) == "passes"
    assert judged(TWO, Intent(GOVERN, weakens=True, urgent=True), ADMIN) == "passes"
    assert judged(Policy(staged=True), Intent(GOVERN, weakens=True), ADMIN) == "passes"


def test_an_approval_does_not_pass_a_freeze() -> None:
    assert judged(FROZEN, Intent(PUBLISH, approved=True)) == "frozen"


def test_a_staged_namespace_wants_a_share_or_urgency() -> None:
    staged = Policy(staged=True)

    assert judged(staged, Intent(PUBLISH)) == "needs-rollout"
    assert judged(staged, Intent(PUBLISH, staged=True)) == "passes"
    assert judged(staged, Intent(PUBLISH, urgent=True)) == "passes"
    assert refused(staged) == {PUBLISH}


def test_a_precondition_is_wanted_even_of_what_is_urgent() -> None:
    strict = Policy(precondition=True)

    assert judged(strict, Intent(PUBLISH)) == "precondition-required"
    assert judged(strict, Intent(PUBLISH, urgent=True), ADMIN) == "precondition-required"
    assert judged(strict, Intent(PUBLISH, conditional=True)) == "passes"
    assert refused(strict) == {PUBLISH}


def test_urgent_needs_a_comment() -> None:
    check_urgent("the model answers nonsense", urgent=True)
    check_urgent("", urgent=False)
    with pytest.raises(Problem, match="comment"):
        check_urgent("  ", urgent=True)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_freeze_has_a_reason(reason: str) -> None:
    assert check_reason(" incident ") == "incident"
    with pytest.raises(Problem, match="needs a reason"):
        check_reason(reason)


def test_rules_are_set_by_name_and_the_others_stay() -> None:
    policy = Policy(staged=True, frozen=ICE)

    assert changed(policy, {"two_person": True}) == Policy(True, True, False, ICE)
    for wrong in ({}, {"frozen": None}, {"staged": 1.5}, {"staged": None}):
        with pytest.raises(Problem, match="a policy has two_person, staged, precondition"):
            changed(policy, wrong)


def test_weaker_is_what_takes_a_rule_away() -> None:
    both = Policy(two_person=True, staged=True)

    assert TWO.is_weaker_than(both)
    assert not both.is_weaker_than(TWO)
    assert Policy(staged=True).is_weaker_than(TWO)
    assert not TWO.is_weaker_than(TWO)


def test_a_policy_is_read_back_from_its_record() -> None:
    state = NamespaceState.empty()
    assert (policy_of(state), center_freeze(state)) == (Policy(), None)

    wanted = Policy(two_person=True, frozen=ICE)
    state = state.after([record_op(state, POLICY, wanted.to_json())], Position(1, 1))
    state = state.after([record_op(state, FREEZE, {"frozen": ICE.to_json()})], Position(1, 2))
    again = record_op(state, POLICY, {"staged": True, "from_a_newer_center": 1})

    assert (policy_of(state), center_freeze(state)) == (wanted, ICE)
    assert wanted.words()["frozen"]["since"] == "2023-11-14T22:13:20.000Z"
    assert Policy().words() == {
        "two_person": False,
        "staged": False,
        "precondition": False,
        "frozen": None,
    }
    assert (again.latest, again.key) == (2, "_policy")
    assert policy_of(state.after([again], Position(1, 3))) == Policy(staged=True)
