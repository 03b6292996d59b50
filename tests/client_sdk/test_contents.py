from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.contents import KEY, RESERVED_KEY, Content, Op, Rollout

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
COUNTS = st.integers(0, 2**53 - 1)
CONTENTS = st.builds(
    Content, COUNTS, HASHES, COUNTS, st.sampled_from(["json", "text"]), st.none() | COUNTS
)
TEXTS = st.text(max_size=10)
ROLLOUTS = st.builds(
    Rollout,
    id=TEXTS,
    percent=st.floats(0, 100),
    unit=st.sampled_from(["device", "instance"]),
    salt=TEXTS,
    keys=st.lists(TEXTS, max_size=3).map(tuple),
    content=st.none() | CONTENTS,
    allow=st.lists(TEXTS, max_size=3).map(tuple),
    deny=st.lists(TEXTS, max_size=3).map(tuple),
    rules=st.just(()),
    steps=st.lists(st.integers(1, 100), max_size=3).map(tuple),
    step=st.integers(0, 5),
    min_devices=st.none() | st.integers(1, 9),
    state=st.sampled_from(["running", "paused"]),
    started_at=COUNTS,
    by=TEXTS,
)
OPS = st.builds(
    Op,
    st.sampled_from(["prompt", "_schema.llm"]),
    st.sampled_from(["set", "del", "rollout"]),
    COUNTS,
    st.none() | CONTENTS,
    st.none() | ROLLOUTS,
)


@given(OPS)
def test_an_operation_comes_back_from_its_signed_form(op: Op) -> None:
    assert Op.from_json(op.to_json()) == op


def test_an_operation_serves_its_stable_content_and_its_canary() -> None:
    stable = Content(1, "aa" * 32, 1, "json")
    canary = Content(2, "bb" * 32, 1, "json")
    rollout = Rollout("r", 1, "device", "r", ("k",), canary)

    assert Op("k", "set", 2, stable, rollout).contents == (stable, canary)
    assert Op("k", "del", 2, None).contents == ()


@pytest.mark.parametrize("key", ["a", "llm.main", "0", "a" * 128, "a_b-c.d"])
def test_names_of_keys(key: str) -> None:
    assert KEY.match(key)


@pytest.mark.parametrize("key", ["", "A", "_a", ".a", "a/b", "a" * 129, "a\n", "ä", "a b"])
def test_what_is_no_name_of_a_key(key: str) -> None:
    assert not KEY.match(key)


def test_reserved_keys_begin_with_an_underscore() -> None:
    assert RESERVED_KEY.match("_schema.llm")
    assert not RESERVED_KEY.match("schema.llm")
