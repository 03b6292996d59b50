"""greyscale.py: the vectors, the population, and the order of decision."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.contents import Rollout
from client_sdk.errors import InvalidValue, RuleInvalid
from client_sdk.greyscale import (
    BUCKETS,
    Decision,
    bucket,
    check_pattern,
    decide,
    decider,
    normal_device,
    share,
    unit_of,
)

DATA = json.loads((Path(__file__).parents[1] / "data" / "bucketing.json").read_text("utf-8"))
MAC = "24:6f:28:a0:00:01"  # bucket 6833 under the salt r1
ROLLOUT = Rollout("ro_1", 10.0, "device", "r1", ("llm",), None)
percents = st.integers(0, BUCKETS).map(lambda thousandths: thousandths / 1000)


def population():
    base = 0x246F28A00000
    for number in range(100_000):
        digits = f"{base + number:012x}"
        yield ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def test_every_vector_has_its_bucket():
    found = [bucket(vector["salt"], vector["unit"]) for vector in DATA["vectors"]]

    assert found == [vector["bucket"] for vector in DATA["vectors"]]


def test_the_hash_meets_the_boundaries_of_third_parties():
    vectors = DATA["murmur3_x86_32_seed0"]

    assert [mmh3.mmh3_32_uintdigest(v["utf8"].encode()) for v in vectors] == [
        v["hash"] for v in vectors
    ]


@pytest.mark.no_cover
def test_the_population_is_shared_out_exactly_and_independently():
    one = [bucket("rollout-7", unit) for unit in population()]
    two = [bucket("rollout-8", unit) for unit in population()]
    expected = DATA["population"]["in_at_percent"]

    assert {p: sum(b < share(p) for b in one) for p in expected} == expected
    both = sum(a < share(10) and b < share(10) for a, b in zip(one, two, strict=True))
    assert both == DATA["population"]["both_in_10_percent_of_rollout-7_and_rollout-8"]


def test_a_unit_that_was_not_utf8_has_a_bucket_too():
    assert 0 <= bucket("r1", "\udcff\ud800") < BUCKETS


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0, 0),
        (0.001, 1),
        (0.1, 100),
        (0.1 + 0.2, 300),
        ("33.3333", 33333),
        (Decimal("99.999"), 99999),
    ],
)
def test_a_percentage_is_read_as_decimal_text(percent, expected):
    assert share(percent) == expected


@pytest.mark.parametrize(
    "percent", [-0.001, 100.001, float("nan"), float("inf"), "ten", True, None]
)
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(InvalidValue):
        share(percent)


@given(percents, percents, st.text())
def test_nobody_changes_arm_while_the_share_grows(one, two, unit):
    small, large = (replace(ROLLOUT, percent=percent) for percent in sorted((one, two)))

    if decide(small, unit, {}).arm == "canary":
        assert decide(large, unit, {}).arm == "canary"


@given(st.text())
def test_nought_is_nobody_and_a_hundred_is_everybody(unit):
    assert decide(replace(ROLLOUT, percent=0), unit, {}).arm == "stable"
    assert decide(replace(ROLLOUT, percent=100), unit, {}).arm == "canary"


RULES = ({"attribute": "region", "op": "eq", "value": "cn"},)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Decision("canary", "percentage", 6833)),
        ({"percent": 6.833}, Decision("stable", "stable", 6833)),
        ({"percent": 6.834}, Decision("canary", "percentage", 6833)),
        ({"state": "paused"}, Decision("canary", "percentage", 6833)),
        ({"percent": 0, "allow": (MAC,)}, Decision("canary", "allow", 6833)),
        ({"percent": 0, "allow": ("24:6f:28:*",)}, Decision("canary", "allow", 6833)),
        ({"allow": (MAC,), "deny": ("24:*",)}, Decision("stable", "deny", 6833)),
        ({"rules": RULES}, Decision("stable", "rule", 6833)),
        ({"rules": RULES, "allow": (MAC,)}, Decision("canary", "allow", 6833)),
        ({"state": "off", "allow": (MAC,)}, Decision("stable", "off")),
        ({"state": "of tomorrow"}, Decision("stable", "off")),
    ],
)
def test_the_first_that_has_a_say_decides(change, expected):
    assert decide(replace(ROLLOUT, **change), MAC, {}) == expected


def test_a_rule_that_matches_leaves_it_to_the_percentage():
    assert decide(replace(ROLLOUT, rules=RULES), MAC, {"region": "cn"}).reason == "percentage"


def test_without_a_rollout_everybody_is_stable():
    assert decide(None, MAC, {}) == Decision("stable", "no-rollout")


def test_a_rollout_by_device_keeps_out_who_has_no_device():
    everybody = replace(ROLLOUT, percent=100)

    assert unit_of(everybody, device=None, instance="gw-7") is None
    assert decide(everybody, None, {}) == Decision("stable", "rule")


def test_the_unit_is_what_the_rollout_goes_by():
    by_instance = replace(ROLLOUT, unit="instance")

    assert unit_of(ROLLOUT, device=MAC, instance="gw-7") == MAC
    assert unit_of(by_instance, device=MAC, instance="gw-7") == "gw-7"


def test_device_ids_are_lower_case():
    assert normal_device("24:6F:28:*") == "24:6f:28:*"


@pytest.mark.parametrize("entry", ["", "*:01", "24:*:01", "**"])
def test_a_star_stands_at_the_end_only(entry):
    with pytest.raises(RuleInvalid):
        check_pattern(entry)
    with pytest.raises(RuleInvalid):
        decider(replace(ROLLOUT, allow=(entry,)))
