from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.contents import Content, Op, Rollout
from client_sdk.errors import MissingBodies, NotVerified
from client_sdk.records import Position, Record
from client_sdk.state import Entry, NamespaceState, bucket_of
from tests.history import History, content, put

KEYS = st.sampled_from(["a", "b", "c", "llm", "prompt", "_schema.llm"])


def test_applying_a_record_leaves_the_old_state_whole() -> None:
    history = History()
    before = history.state
    record = history.add(put("prompt", "hello"))

    after = before.apply(record)

    assert (len(before.entries), len(after.entries)) == (0, 1)
    assert after.digest == history.state.digest
    assert after.position == Position(1, 2)


@given(st.lists(st.tuples(KEYS, st.integers(0, 99)), max_size=30))
def test_the_digest_does_not_depend_on_the_way_to_a_state(changes: list[tuple[str, int]]) -> None:
    history = History()
    for version, (key, value) in enumerate(changes, 1):
        history.add(put(key, value, version))
    state = history.state

    rebuilt = NamespaceState.from_entries(state.entries.values(), state.position, state.c)

    assert rebuilt.digest == state.digest
    assert dict(rebuilt.entries) == dict(state.entries)


ROLLOUT = Rollout("ro_1", 10, "device", "salt", ("prompt",), content("canary", 2))
ENTRY = Entry("prompt", Position(1, 2), 2, content("stable", 1), ROLLOUT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ENTRY, key="prompts"),
        replace(ENTRY, position=Position(1, 3)),
        replace(ENTRY, latest=3),
        replace(ENTRY, content=None),
        replace(ENTRY, content=content("other", 1)),
        replace(ENTRY, content=replace(content("stable", 1), format="text")),
        replace(ENTRY, content=replace(content("stable", 1), size=99)),
        replace(ENTRY, content=replace(content("stable", 1), rollback_of=1)),
        replace(ENTRY, rollout=None),
        replace(ENTRY, rollout=replace(ROLLOUT, percent=11)),
        replace(ENTRY, rollout=replace(ROLLOUT, allow=("x",))),
        replace(ENTRY, rollout=replace(ROLLOUT, content=content("evil", 2))),
        replace(ENTRY, rollout=replace(ROLLOUT, state="paused")),
    ],
    ids=str,
)
def test_every_field_that_decides_what_a_unit_gets_is_in_the_digest(changed: Entry) -> None:
    def digest(entry: Entry) -> bytes:
        return NamespaceState.from_entries([entry], Position(1, 2), bytes(32)).digest

    assert digest(changed) != digest(ENTRY)


def test_a_record_built_on_another_state_is_not_applied() -> None:
    history, other = History(), History()
    other.add(put("prompt", "x"))
    record = history.add(put("llm", 1))

    with pytest.raises(NotVerified, match="load the snapshot"):
        other.state.apply(record)


def test_a_body_that_is_nowhere_is_asked_for_and_then_taken() -> None:
    history = History()
    before = history.state
    record = history.add(put("prompt", "long"))
    bare = Record.decode(record.encode(bodies=False))

    with pytest.raises(MissingBodies) as missing:
        before.apply(bare)
    after = before.apply(bare, record.bodies)

    assert missing.value.hashes == record.bodies.keys()
    assert after.entries["prompt"].content.body == b'"long"'


def test_a_promotion_needs_no_body_again() -> None:
    history = History()
    canary = content("canary", 1)
    history.add(Op("prompt", "set", 1, None, Rollout("r", 5, "device", "r", ("prompt",), canary)))
    before = history.state
    record = history.add(Op("prompt", "set", 1, replace(canary, body=None)))

    after = before.apply(Record.decode(record.encode(bodies=False)))

    assert after.entries["prompt"].content.body == b'"canary"'


def test_an_empty_body_is_a_body() -> None:
    history = History()
    before = history.state
    empty = content("", 1, "text")
    record = history.add(Op("greeting", "set", 1, empty))

    assert before.apply(record).entries["greeting"].content.body == b""


def test_a_removed_key_keeps_its_line_and_its_numbers() -> None:
    history = History()
    history.add(put("prompt", "x", 3))
    history.add(Op("prompt", "del", 3, None))

    entry = history.state.entries["prompt"]

    assert (entry.exists, entry.latest, entry.version) == (False, 3, None)
    assert history.state.keys() == []


def test_reserved_keys_are_in_the_state_but_not_among_its_keys() -> None:
    history = History()
    history.add(put("_schema.llm", {"kind": "llm"}), put("llm", 1))

    assert history.state.keys() == ["llm"]
    assert len(history.state.entries) == 2


def test_a_record_without_operations_moves_the_position_only() -> None:
    history = History()
    history.add(put("a", 1))
    before = history.state
    record = history.add(kind="adopt", epoch=7)

    after = before.apply(record)

    assert after.position == Position(7, 3)
    assert after.digest == before.digest


@given(st.text(max_size=20))
def test_buckets_are_1024(key: str) -> None:
    assert 0 <= bucket_of(key) < 1024


def test_contents_with_the_same_words_are_equal_whether_their_body_is_at_hand_or_not() -> None:
    assert content("x") == Content(1, content("x").sha256, 3, "json")
