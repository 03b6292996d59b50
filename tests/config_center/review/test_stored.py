"""What may become of a draft, without a center."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from client_sdk.contents import Op
from client_sdk.records import Position
from client_sdk.state import NamespaceState
from config_center.access import Actor
from config_center.problems import Problem
from config_center.review import stored
from config_center.review.policy import record_op
from config_center.review.stored import LIFE_MS, PLACES, PLACES_OF_ONE, Part, StoredDraft
from config_center.scopes import EVERYTHING, Reach, Scope
from tests.history import content, put

NOW = 1_700_000_000_000
BOB = Actor("bob", "approver", "b" * 16)
PART = Part("put", "prompt", "1-1", body='"new"')
DRAFT = StoredDraft("d" * 32, "ns", "change", "ann", "a" * 16, "why", NOW, (PART,))


def held(*drafts: StoredDraft) -> NamespaceState:
    """``_system`` with these, each at its place."""
    state = NamespaceState.empty()
    for at, draft in enumerate(drafts):
        op = record_op(state, draft.place or f"draft.ns.{at:02}", draft.to_json())
        state = state.after([op], Position(1, at + 1))
    return state


def of_one(number: int, author: str) -> StoredDraft:
    """One of several drafts, by somebody with one token."""
    token = DRAFT.author_id if author == DRAFT.author else f"{author:.16}"
    return replace(DRAFT, id=f"{number:032}", at=NOW + number, author=author, author_id=token)


def kept(draft: StoredDraft) -> StoredDraft:
    """The same, as it is found."""
    return stored.draft_of(held(draft), draft.ns, draft.id)


def refusal(draft: StoredDraft, actor: Actor = BOB, content: str = "", now: int = NOW) -> str:
    with pytest.raises(Problem) as refused:
        stored.check_approval(draft, actor, content or draft.content, now)
    return f"{refused.value.status} {refused.value.name}"


def test_a_draft_is_read_back_with_its_place_and_hash() -> None:
    found = kept(replace(DRAFT, rollout={"percent": 5}, about={"kind": "llm"}))

    assert found == replace(
        DRAFT,
        rollout={"percent": 5},
        about={"kind": "llm"},
        place="draft.ns.00",
        content=found.content,
    )
    assert len(found.content) == 64
    with pytest.raises(Problem, match="there is no draft 'nowhere'"):
        stored.draft_of(held(DRAFT), "ns", "nowhere")
    assert stored.drafts_of(held(DRAFT), "other") == []


def test_only_the_draft_of_an_id_is_parsed_to_say_who_wrote_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bob = replace(DRAFT, id="e", author="bob", comment=f'"id":"{DRAFT.id}"')
    nested = replace(DRAFT, id="f", author="eve", about={"id": DRAFT.id})
    state, parsed = held(bob, nested, DRAFT, of_one(1, "dan")), []

    def counted(body: bytes) -> StoredDraft:
        parsed.append(body)
        return StoredDraft.from_json(orjson.loads(body))

    monkeypatch.setattr(stored, "_parsed", counted)

    assert stored.author_of(state, "ns", DRAFT.id) == "ann"
    assert len(parsed) == 2, "its own, and one that looks like it"
    assert stored.author_of(state, "ns", "never") is None
    assert stored.author_of(state, "other", DRAFT.id) is None
    assert len(parsed) == 2


def test_the_hash_covers_everything_that_is_approved() -> None:
    other = [
        replace(DRAFT, parts=(replace(PART, body='"newer"'),)),
        replace(DRAFT, parts=(replace(PART, base="1-2"),)),
        replace(DRAFT, rollout={"percent": 5}),
        replace(DRAFT, supersede=True),
        replace(DRAFT, author="eve"),
        replace(DRAFT, about={"kind": "llm"}),
    ]

    assert len({kept(draft).content for draft in (DRAFT, *other)}) == 7


def test_somebody_else_approves_what_they_looked_at() -> None:
    draft = kept(DRAFT)

    stored.check_approval(draft, BOB, draft.content, NOW)
    assert refusal(draft, content="0" * 64) == "412 version-moved"
    assert refusal(draft, now=NOW + LIFE_MS) == "409 draft-ended"
    assert refusal(draft.ended("rejected", "bob", "", NOW)) == "409 draft-ended"


@pytest.mark.parametrize(
    "actor",
    [
        Actor("ann", "approver", "c" * 16),
        Actor("Ann", "admin", "c" * 16),
        Actor("another name", "admin", "a" * 16),
        Actor("ann", "admin", ""),
    ],
    ids=["by name", "in capitals", "by token", "without a token"],
)
def test_a5_nobody_approves_what_they_wrote(actor: Actor) -> None:
    assert refusal(kept(DRAFT), actor) == "403 forbidden"


def test_two_without_a_token_are_told_apart_by_name() -> None:
    draft = replace(DRAFT, author_id="")

    assert not stored.is_author(draft, Actor("bob", "approver", ""))


def test_a_key_that_changed_makes_it_void() -> None:
    start = NamespaceState.empty()
    there = start.after([put("prompt", "old")], Position(1, 1))
    later = there.after([put("prompt", "other", 2)], Position(1, 2))

    stored.check_base(DRAFT, there)
    assert stored.moved_keys(DRAFT, there) == []
    assert stored.moved_keys(DRAFT, later) == stored.moved_keys(DRAFT, start) == ["prompt"]
    with pytest.raises(Problem) as moved:
        stored.check_base(DRAFT, later)
    assert (moved.value.status, moved.value.members) == (412, {"keys": ["prompt"]})


def test_what_is_left_of_an_ended_draft_holds_none_of_its_content() -> None:
    full = replace(DRAFT, about={"kind": "llm"})
    ended = full.ended("rejected", "bob", "no", NOW)
    words = ended.words("rejected", [])

    assert (ended.parts[0].body, ended.about) == (None, None)
    assert words["closed"] == {"by": "bob", "comment": "no", "at": "2023-11-14T22:13:20.000Z"}
    assert words["keys"] == [{"key": "prompt", "op": "put", "base": "1-1"}]


def test_the_words_of_a_waiting_draft_hold_no_value() -> None:
    words = kept(replace(DRAFT, rollout={"percent": 5})).words("moved", ["prompt"])

    assert (words["state"], words["moved"], words["closed"]) == ("moved", ["prompt"], None)
    assert (words["rollout"], words["expires"]) == ({"percent": 5}, "2023-11-21T22:13:20.000Z")
    assert "new" not in str(words)


def test_places_are_bounded_and_used_again() -> None:
    full = [of_one(n, str(n)) for n in range(PLACES)]
    assert stored.free_place(held(), DRAFT, NOW) == "draft.ns.00"
    assert stored.free_place(held(DRAFT), DRAFT, NOW) == "draft.ns.01"

    with pytest.raises(Problem, match="100 drafts wait in ns already") as refused:
        stored.free_place(held(*full), DRAFT, NOW)
    assert refused.value.status == 413

    full[7] = full[7].ended("rejected", "bob", "", NOW)
    full[3] = full[3].ended("published", "bob", "", NOW)
    assert stored.free_place(held(*full), DRAFT, NOW) == "draft.ns.03"
    assert stored.free_place(held(*full), DRAFT, NOW + LIFE_MS) == "draft.ns.00"


def test_a_publisher_does_not_take_the_places_of_others() -> None:
    mine = [of_one(n, "ann") for n in range(PLACES_OF_ONE)]
    others = [of_one(50 + n, f"by {n}") for n in range(30)]
    state = held(*mine, *others)

    with pytest.raises(Problem, match="20 drafts of ann wait in ns already") as refused:
        stored.free_place(state, DRAFT, NOW)
    assert (refused.value.status, refused.value.members) == (413, {"limit": 20})
    assert "withdraw some" in refused.value.detail
    for same in (replace(DRAFT, author="Ann", author_id="f" * 16), replace(DRAFT, author="other")):
        with pytest.raises(Problem, match="one author has at most 20"):  # by name and by token
            stored.free_place(state, same, NOW)
    assert stored.free_place(state, of_one(99, "bob"), NOW) == "draft.ns.50"
    assert stored.free_place(state, DRAFT, NOW, 21) == "draft.ns.50"
    mine[4] = mine[4].ended("withdrawn", "ann", "", NOW)
    assert stored.free_place(held(*mine, *others), DRAFT, NOW) == "draft.ns.50"


FRAME = len(orjson.dumps(DRAFT.to_json()))  # of a draft, about its bodies


def test_what_waits_is_bounded_in_bytes_too() -> None:
    big = replace(DRAFT, parts=(replace(PART, body="x" * (stored.MAX_BYTES - FRAME)),))

    assert stored.free_place(held(), big, NOW) == "draft.ns.00"
    with pytest.raises(Problem, match="the drafts that wait in ns would have"):
        stored.free_place(held(of_one(1, "bob")), big, NOW)


def test_a_publisher_does_not_take_the_room_of_others() -> None:
    body = "é" * ((stored.BYTES_OF_ONE - FRAME) // 2)
    quarter = replace(DRAFT, parts=(replace(PART, body=body),))

    with pytest.raises(Problem, match="the drafts of ann that wait in ns would have") as refused:
        stored.free_place(held(DRAFT), quarter, NOW)
    assert refused.value.members == {"limit": stored.BYTES_OF_ONE}
    assert stored.free_place(held(of_one(1, "bob")), quarter, NOW) == "draft.ns.01"


def test_a4_a_draft_is_within_a_prefix_when_all_of_it_is() -> None:
    reach = Reach((Scope("ns", "llm."), Scope("ns", "tts")))
    one, other = replace(PART, key="llm.cn"), replace(PART, key="tts")

    for draft, wanted in (
        (replace(DRAFT, parts=(one, other)), True),
        (replace(DRAFT, parts=(one, PART)), False),
        (replace(DRAFT, ns="elsewhere", parts=(one,)), False),
        (replace(DRAFT, kind="schema", parts=(one,)), False),
        (replace(DRAFT, kind="policy", parts=()), False),
    ):
        assert stored.is_within(draft, reach) is wanted
        assert stored.is_within(draft, EVERYTHING)
    with pytest.raises(Problem, match="there is no draft"):
        stored.draft_of(held(DRAFT), "ns", DRAFT.id, reach)


def test_the_newest_comes_first() -> None:
    newer = replace(DRAFT, id="e" * 32, at=NOW + 1)

    assert [draft.id for draft in stored.drafts_of(held(DRAFT, newer), "ns")] == [
        newer.id,
        DRAFT.id,
    ]


def test_a_part_is_what_was_planned() -> None:
    state = NamespaceState.empty().after([put("prompt", "old")], Position(1, 1))
    new = put("prompt", "new", 2)

    assert stored.part_of(state, new) == Part("put", "prompt", "1-1", "json", '"new"')
    assert stored.part_of(state, Op("prompt", "del", 1, None)) == Part("delete", "prompt", "1-1")
    assert stored.part_of(state, put("other", 1)).base == ""
    made = Part("put", "prompt", "", "json", '"new"').content()
    assert made is not None
    assert (made.sha256, made.body) == (content("new").sha256, b'"new"')
    assert Part("delete", "prompt", "").content() is None


def test_a_draft_that_was_lost_takes_a_place_where_no_other_waits() -> None:
    place = "draft.ns.00"
    lost = record_op(held(), place, DRAFT.to_json()).content
    assert lost is not None

    for free in (held(), held(DRAFT), held(of_one(1, "bob").ended("rejected", "cid", "", NOW))):
        stored.check_place(free, place, lost)
    with pytest.raises(Problem, match="of bob waits in its place by now") as refused:
        stored.check_place(held(replace(of_one(1, "bob"), place=place)), place, lost)
    assert refused.value.name == "in-use"
