"""What may be told of an exception."""

from __future__ import annotations

import pytest

from client_sdk.modules.redaction import LONGEST_REASON, masked, reason_of, secrets_of


def test_sealed_fields_and_fields_with_secret_names_are_secret():
    stored = {
        "base": "https://x",
        "extra": {"$sealed": {"fp": "1"}},
        "list": [{"$sealed": {}}, "plain"],
        "deep": {"$sealed": {}},
        "pin": {"$sealed": {}},
    }
    opened = {
        "base": "https://x",
        "extra": "s1",
        "list": ("s2", "plain"),
        "deep": {"user": "s3", "codes": ("s4",), "on": True, "none": None, "empty": ""},
        "pin": 1234,
        "headers": {"Authorization": "s5"},
    }
    assert secrets_of(stored, opened) == {"s1", "s2", "s3", "s4", "s5", "1234"}


def test_a_value_that_is_sealed_as_a_whole_is_secret():
    assert secrets_of({"$sealed": {}}, ("a", {"b": "c"})) == {"a", "c"}
    assert secrets_of("x", "x") == frozenset()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad key sk-a/b'c", "bad key ***"),
        ("GET /?k=sk-a%2Fb%27c", "GET /?k=***"),
        ('repr: "sk-a/b\'c"', 'repr: "***"'),
        ("two\n  lines\t", "two lines"),
        ("redis://user:pass@host/0", "redis://***@host/0"),
    ],
)
def test_secrets_are_masked_in_every_form(text, shown):
    assert masked(text, {"sk-a/b'c"}) == shown


def test_a_longer_secret_is_masked_before_a_shorter_inside_it():
    assert masked("abcdef abcd", {"abcd", "abcdef"}) == "*** ***"


def test_a_very_short_secret_takes_the_whole_text():
    assert reason_of(ValueError("code 42 is wrong"), {"42"}) == "ValueError"


def test_a_reason_is_short():
    assert len(reason_of(ValueError("x" * 1000))) == LONGEST_REASON
