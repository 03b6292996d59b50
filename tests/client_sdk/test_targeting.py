"""targeting.py: every operator, the law of the missing attribute, and refusals that help."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import RuleInvalid
from client_sdk.targeting import MAX_DEPTH, MAX_TESTS, OPERATORS, compile_rules, firmware_version


def rule(op, value, attribute="x"):
    return {"attribute": attribute, "op": op, "value": value}


def matches(tree, **attributes):
    return compile_rules([tree])(attributes)


@pytest.mark.parametrize(
    ("op", "value", "yes", "no"),
    [
        ("eq", "a", "a", "b"),
        ("eq", 3, "3", 4),
        ("eq", True, "true", 1),
        ("eq", False, False, "true"),
        ("ne", "a", "b", "a"),
        ("in", ["a", 3], 3.0, "b"),
        ("in", ("a", 3), "a", None),
        ("not_in", ["a"], "b", "a"),
        ("starts_with", "24:", "24:6f", "25:24:"),
        ("ends_with", "-esp32", "2-esp32", "esp32"),
        ("contains", "b", "abc", "ac"),
        ("glob", "2.0.?-*", "2.0.5-esp32", "2.0.55-esp32"),
        ("gt", 3, "4", 3),
        ("gte", 3, 3, 2.9),
        ("lt", 3, 2, "3"),
        ("lte", 3, "3.0", 4),
        ("version_eq", "v2.0.5", "2.0.5-esp32", "2.0.6"),
        ("version_gt", "1.7.2", "v1.10", "v1.7.2"),
        ("version_gte", "2.0.5", "2.0.5-esp32", "2.0.5-rc1"),
        ("version_lt", "2.0", "1.99.9", "2.0.0"),
        ("version_lte", "2.0", "2.0.0.0", "2.0.1"),
        ("exists", True, "", None),
        ("exists", False, None, ""),
    ],
)
def test_an_operator_says_yes_and_no(op, value, yes, no):
    assert matches(rule(op, value), x=yes)
    assert not matches(rule(op, value), x=no)


@pytest.mark.parametrize("op", sorted(set(OPERATORS) - {"exists"}))
def test_a_missing_attribute_never_matches_not_even_under_not(op):
    tree = rule(op, {"in": ["2"], "not_in": ["2"], "eq": "2"}.get(op, 2))
    if op.startswith("version") or op in ("starts_with", "ends_with", "contains", "glob"):
        tree["value"] = "2"

    assert not matches(tree)
    assert not matches({"not": tree})
    assert not matches({"not": {"not": tree}})


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (rule("gt", 3), "abc"),
        (rule("gt", 3), "nan"),
        (rule("gt", 3), True),
        (rule("lt", 3), 10**400),
        (rule("version_gt", "1"), "nightly"),
        (rule("version_gt", "1"), 2),
        (rule("version_gt", "1"), "9" * 5000),
        (rule("glob", "*"), 3),
        (rule("contains", "3"), 3),
    ],
)
def test_what_cannot_be_compared_is_unknown(tree, found):
    assert not matches(tree, x=found)
    assert not matches({"not": tree}, x=found)


YES, NO, UNKNOWN = rule("eq", 1), rule("eq", 2), rule("eq", 1, "absent")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"all": [YES, YES]}, (True, False)),
        ({"all": [YES, NO]}, (False, True)),
        ({"all": [YES, UNKNOWN]}, (False, False)),
        ({"all": [NO, UNKNOWN]}, (False, True)),
        ({"any": [NO, YES, UNKNOWN]}, (True, False)),
        ({"any": [NO, NO]}, (False, True)),
        ({"any": [NO, UNKNOWN]}, (False, False)),
    ],
)
def test_the_logic_has_three_values(tree, expected):
    assert (matches(tree, x=1), matches({"not": tree}, x=1)) == expected


def test_without_rules_everybody_matches_and_several_must_all():
    assert compile_rules(())({})
    assert not compile_rules([YES, NO])({"x": 1})


versions = st.tuples(
    st.lists(st.integers(0, 30), min_size=1, max_size=4), st.sampled_from(["", "-rc1", "-dev"])
).map(lambda parts: ".".join(map(str, parts[0])) + parts[1])


@given(versions, versions)
def test_exactly_one_of_less_equal_and_greater_holds(one, two):
    found = [matches(rule(f"version_{op}", two), x=one) for op in ("lt", "eq", "gt")]

    assert sorted(found) == [False, False, True]


def test_firmware_is_ordered_as_people_mean_it():
    names = ["1.9", "2.0-dev", "2.0-alpha.2", "2.0b1", "2.0-rc1", "2.0-rc.2", "v2.0-esp32", "2.0.1"]

    assert sorted(names, key=firmware_version) == names


nested = YES
for _ in range(MAX_DEPTH + 1):
    nested = {"not": {"all": [nested]}}


@pytest.mark.parametrize(
    ("rules", "path", "words"),
    [
        ({}, "", "list"),
        (["x"], "[0]", "object"),
        ([{}], "[0].attribute", "all, any, not"),
        ([{"attribute": "x"}], "[0].op", "all, any, not"),
        ([rule("version_get", "1")], "[0].op", "did you mean version_g"),
        ([rule("???", "1")], "[0].op", "there are eq"),
        ([{"attribute": "x", "op": "eq"}], "[0].value", "needs a value"),
        ([{"attribute": "x", "op": "eq", "valu": 1}], "[0].valu", "did you mean value"),
        ([{"all": [YES, rule("gt", "3")]}], "[0].all[1].value", "takes a number"),
        ([{"all": []}], "[0].all", "not empty"),
        ([{"all": [YES], "x": 1}], "[0].x", "does not belong"),
        ([rule("version_gt", "x")], "[0].value", "such as 2.0.5"),
        ([rule("in", [])], "[0].value", "1 to 1000"),
        ([rule("in", ["x" * 257])], "[0].value", "256"),
        ([rule("eq", None)], "[0].value", "a text"),
        ([rule("exists", 1)], "[0].value", "true or false"),
        ([rule("glob", "*a" * 9)], "[0].value", "8 stars"),
        ([YES] * (MAX_TESTS + 1), f"[{MAX_TESTS}]", "at most 256"),
    ],
)
def test_a_bad_rule_is_refused_with_its_place(rules, path, words):
    with pytest.raises(RuleInvalid, match=words) as caught:
        compile_rules(rules)

    assert caught.value.path == path


def test_depth_is_bounded():
    with pytest.raises(RuleInvalid, match="8 deep"):
        compile_rules([nested])


def test_a17_there_is_no_regular_expression_and_a_glob_costs_what_its_length_says():
    assert not {"regex", "matches", "re"} & set(OPERATORS)
    evil = compile_rules([rule("glob", "a*" * 8 + "b")])
    began = time.perf_counter()

    for _ in range(20):
        assert not evil({"x": "a" * 256})

    assert time.perf_counter() - began < 30.0  # it is a few milliseconds; (a+)+$ would be years
