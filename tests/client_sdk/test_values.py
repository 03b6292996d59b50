"""values.py: what nobody can change, and what does not come in."""

import copy
import json
import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import InvalidValue
from client_sdk.values import (
    MAX_NODES,
    FrozenDict,
    canonical,
    check_limits,
    freeze,
    parse_json,
    thaw,
)

VALUE = {"a": [1, {"b": None}], "c": "text"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def test_a_frozen_value_is_what_it_was_to_readers():
    frozen = freeze(VALUE)

    assert isinstance(frozen, dict)
    assert json.loads(json.dumps(frozen)) == VALUE
    assert orjson.loads(orjson.dumps(frozen)) == VALUE
    assert frozen["a"] == (1, {"b": None})


def test_copies_are_plain_and_may_be_changed():
    frozen = freeze(VALUE)

    for plain in (copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen)), thaw(frozen)):
        assert plain == VALUE
        assert type(plain) is dict
        plain["a"][1]["b"] = 1
    assert type(copy.copy(frozen)) is dict


@pytest.mark.parametrize(
    "mutate",
    [
        lambda value: value.__setitem__("a", 1),
        lambda value: value.__delitem__("a"),
        lambda value: value.__ior__({"a": 1}),
        lambda value: value.update(a=1),
        lambda value: value.setdefault("z", 1),
        lambda value: value.pop("a"),
        lambda value: value.popitem(),
        lambda value: value.clear(),
    ],
)
def test_every_mutation_says_how_to_copy(mutate):
    frozen = freeze(VALUE)

    for value in (frozen, frozen["a"][1]):
        with pytest.raises(TypeError, match="read-only; take"):
            mutate(value)
    with pytest.raises(TypeError):
        frozen["a"][0] = 1
    assert thaw(frozen) == VALUE


@given(json_values)
def test_freezing_twice_is_the_same_object_and_thawing_gives_it_back(value):
    frozen = freeze(value)

    assert freeze(frozen) is frozen
    assert thaw(frozen) == value
    assert orjson.dumps(frozen) == orjson.dumps(value)


def test_what_is_no_json_cannot_be_frozen():
    with pytest.raises(InvalidValue, match="set is not"):
        freeze({"a": {1}})


@given(json_values)
def test_canonical_bytes_come_back_through_the_door(value):
    raw = canonical(value)

    assert canonical(parse_json(raw, depth=40)) == raw
    assert canonical(freeze(value)) == raw


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', ".a.b", "twice"),
        (b'[{"a b": NaN}]', "[0]['a b']", "NaN"),
        (b"[1e999]", "[0]", "infinities"),
        (b"[9007199254740992]", "[0]", "2\\^53"),
        (b"[-9007199254740992]", "[0]", "2\\^53"),
        (b"[" + b"9" * 5000 + b"]", "[0]", "2\\^53"),
        (b'["\\ud800"]', "[0]", "half of a pair"),
        (b'{"\\ud800": 1}', "", "half of a pair"),
        (b'"\xff"', "", "byte 1 is not UTF-8"),
        (b'{"a":\n 1,}', "", "line 2 column"),
        (b"\xef\xbb\xbf1", "", "BOM"),
        (b"", "", "line 1 column 1"),
        (b"[" * 33 + b"]" * 33, "[0]" * 32, "32 levels"),
        (b"[" * 200_000, "", "32 levels"),
    ],
)
def test_what_parsers_disagree_on_does_not_come_in(raw, path, words):
    with pytest.raises(InvalidValue, match=words) as caught:
        parse_json(raw)

    assert caught.value.path == path


def test_the_bounds_themselves_come_in():
    assert parse_json(b"[9007199254740991, -9007199254740991]") == [2**53 - 1, -(2**53) + 1]
    assert len(parse_json(b"[" + b"1," * (MAX_NODES - 2) + b"1]")) == MAX_NODES - 1
    assert parse_json(b"[" * 32 + b"]" * 32)


@pytest.mark.parametrize("shape", [b"[1,%s1]", b'{"a":[%s1]}', b"[%s[]]"])
def test_a11_a_value_of_too_many_parts_does_not_come_in(shape):
    with pytest.raises(InvalidValue, match="more than 50000 parts"):
        parse_json(shape % (b"[]," * MAX_NODES))


@pytest.mark.parametrize("value", [{1: 2}, {"a": b"x"}, [object()], (float("inf"),)])
def test_a_python_value_that_cannot_travel_is_refused(value):
    with pytest.raises(InvalidValue):
        canonical(value)


def test_limits_hand_the_value_back():
    value = FrozenDict(a=(1,))

    assert check_limits(value) is value
