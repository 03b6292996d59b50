"""Who wrote a draft, and whether he could still: decided on values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client_sdk.records import Position
from client_sdk.state import NamespaceState
from config_center.access import LOGIN
from config_center.problems import Problem
from config_center.review.author import author_of, require_author
from config_center.review.policy import record_op
from config_center.review.stored import Part, StoredDraft

NOW = 1_700_000_000_000
OWN, OTHER = "a" * 16, "b" * 16
PART = Part("put", "llm.cn", "")
DRAFT = StoredDraft("d" * 32, "ns", "change", "ann", OWN, "", NOW, (PART,))
LLM = [{"namespace": "ns", "prefix": "llm."}]


def system(**tokens: dict[str, Any]) -> NamespaceState:
    """``_system`` with the tokens ``own`` and ``other``; a publisher's of ``ann`` unless told."""
    state = NamespaceState.empty()
    for at, (which, about) in enumerate(tokens.items()):
        key = "token." + {"own": OWN, "other": OTHER}[which]
        plain = {"name": "ann", "role": "publisher", **about}
        state = state.after([record_op(state, key, plain)], Position(1, at + 1))
    return state


def stands(state: NamespaceState, draft: StoredDraft = DRAFT) -> bool:
    return author_of(state, draft, NOW) is not None


def test_the_author_is_whoever_has_the_token_as_far_as_it_reaches() -> None:
    found = require_author(system(own={"scopes": LLM}), DRAFT, NOW)

    assert (found.name, found.token_id, str(found.reach)) == ("ann", OWN, "ns/llm.")


def test_a5_a_revoked_token_ends_its_drafts_whatever_other_token_bears_the_name() -> None:
    assert not stands(system())
    assert not stands(system(other={}))
    with pytest.raises(Problem, match="makes it again, and somebody else approves") as refused:
        require_author(system(other={}), DRAFT, NOW)
    assert (refused.value.status, refused.value.name) == (409, "draft-ended")
    assert refused.value.members == {"state": "author-gone", "author": "ann"}


def test_for_a_token_that_expired_another_of_the_very_name_stands_in() -> None:
    gone = {"expires_at": NOW}

    assert stands(system(own={"expires_at": NOW + 1}))
    assert not stands(system(own=gone))
    assert stands(system(own=gone, other={}))
    found = require_author(system(own=gone, other={"scopes": LLM}), DRAFT, NOW)
    assert (found.token_id, str(found.reach)) == (OTHER, "ns/llm.")
    for unfit in (
        gone,
        {"name": "Ann"},
        {"role": "reader"},
        {"scopes": [{"namespace": "ns", "prefix": "tts"}]},
    ):
        assert not stands(system(own=gone, other=unfit)), unfit


def test_the_end_of_a_login_is_the_end_of_a_session_and_not_of_a_draft() -> None:
    ended = {"name": "oidc:ann", "created_by": LOGIN, "expires_at": NOW}
    draft = replace(DRAFT, author="oidc:ann")

    assert stands(system(own=ended), draft)
    assert not stands(system(), draft)
    assert not stands(system(own={**ended, "role": "reader"}), draft)
    assert not stands(system(own={**ended, "created_by": "root"}), draft)
    assert not stands(system(own={**ended, "name": "ann"}), DRAFT)


@pytest.mark.parametrize(
    ("kind", "role", "scopes", "wanted"),
    [
        ("change", "publisher", LLM, True),
        ("change", "approver", [], False),
        ("change", "publisher", [{"namespace": "ns", "prefix": "tts"}], False),
        ("change", "publisher", [{"namespace": "other", "prefix": ""}], False),
        ("schema", "admin", [], True),
        ("schema", "publisher", [], False),
        ("schema", "admin", LLM, False),
        ("policy", "admin", [{"namespace": "ns", "prefix": ""}], True),
        ("policy", "operator", [], False),
    ],
)
def test_the_token_may_and_reaches_what_the_draft_needs(
    kind: str, role: str, scopes: list[dict[str, str]], wanted: bool
) -> None:
    draft = replace(DRAFT, kind=kind)

    assert stands(system(own={"role": role, "scopes": scopes}), draft) is wanted


def test_a_draft_without_a_token_was_made_by_the_center_itself() -> None:
    assert stands(system(), replace(DRAFT, author_id=""))
