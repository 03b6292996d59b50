"""difference.py: small, exact, applicable in order, and without secrets when shown."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.difference import Delta, difference, json_patch, mask
from client_sdk.values import canonical, freeze

json_values = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, 2]) | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("ab/~"), inner, max_size=4)
    ),
    max_leaves=16,
)


def apply(value, patch):
    document = {"": copy.deepcopy(value)}
    for step in patch:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in ("" + step["path"]).split("/")
        ]
        holder = document
        for part in parents:
            holder = holder[int(part) if isinstance(holder, list) else part]
        at = int(last) if isinstance(holder, list) else last
        if step["op"] == "remove":
            del holder[at]
        elif step["op"] == "add" and isinstance(holder, list):
            holder.insert(at, step["value"])
        else:
            holder[at] = step["value"]
    return document[""]


@given(json_values, json_values)
def test_applying_the_patch_to_the_old_value_gives_the_new_one(old, new):
    patch = json_patch(difference(old, new))

    assert canonical(apply(old, patch)) == canonical(new)
    assert canonical(json_patch(difference(freeze(old), freeze(new)))) == canonical(patch)


@given(json_values)
def test_equal_values_have_no_difference(value):
    assert difference(value, copy.deepcopy(value)) == []
    assert difference(freeze(value), value) == []


def test_the_order_of_members_is_no_difference():
    assert difference({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}) == []


def test_only_what_changed_is_named_in_order():
    old = {"llm": {"model": "a", "top": [1, 2, 3]}, "old": 1, "same": {"x": 1}}
    new = {"llm": {"model": "b", "top": [1, 3]}, "new": 2, "same": {"x": 1}}

    assert difference(old, new) == [
        Delta(("llm", "model"), "replace", "a", "b"),
        Delta(("llm", "top", 1), "remove", 2),
        Delta(("new",), "add", None, 2),
        Delta(("old",), "remove", 1),
    ]


def test_what_a_list_gained_is_added_in_order_before_what_it_kept():
    assert difference({"a": [1, 9]}, {"a": [1, 2, 3, 9]}) == [
        Delta(("a", 1), "add", None, 2),
        Delta(("a", 2), "add", None, 3),
    ]


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), (0.0, -0.0)])
def test_what_python_calls_equal_but_json_does_not_is_a_change(old, new):
    assert difference({"a": [{"b": old}]}, {"a": [{"b": new}]}) == [
        Delta(("a", 0, "b"), "replace", old, new)
    ]


def test_the_structural_form_shows_what_the_operation_has():
    deltas = difference({"a": 1, "b": 1}, {"b": 2, "c": 3})

    assert [delta.to_json() for delta in deltas] == [
        {"op": "remove", "path": "/a", "old": 1},
        {"op": "replace", "path": "/b", "old": 1, "new": 2},
        {"op": "add", "path": "/c", "new": 3},
    ]


def secret(path):
    return path[-1:] == ("key",)


def test_secrets_are_masked_where_they_are_and_inside_of_what_came():
    old = {"one": {"key": "s1"}, "gone": {"key": "s2"}, "two": {"key": {"x": "s3", "y": "s4"}}}
    new = {"one": {"key": "s5"}, "came": [{"key": "s6", "m": 1}], "two": {"key": {"x": 5, "y": 6}}}

    assert mask(difference(old, new), secret) == [
        Delta(("came",), "add", None, [{"key": "***", "m": 1}]),
        Delta(("gone",), "remove", {"key": "***"}),
        Delta(("one", "key"), "replace", "***", "***"),
        Delta(("two", "key"), "replace", "***", "***"),
    ]
