"""What is warned of, what is not, and that no warning holds what it warns of."""

from __future__ import annotations

import random
import string
import time
from typing import Any

import pytest

from config_center.secrets.lint import shape_of, suspicions

RANDOM = "".join(random.Random(3).choices(string.ascii_letters + string.digits, k=44))
HEX = random.Random(3).randbytes(16).hex()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sk-proj-abcdefghijklmnop1234", "an API key"),
        ("use sk-abcdefghijklmnop1234 here", "an API key"),
        ("LTAI5tQnKzzzzzzzzzzz", "an access key of a cloud"),
        ("AKIAIOSFODNN7EXAMPLE", "an access key of a cloud"),
        ("AIza" + "x" * 35, "a Google API key"),
        ("ghp_" + "x" * 36, "a GitHub token"),
        ("xoxb-1234567890-abc", "a Slack token"),
        ("cc_" + "A" * 43, "a token of a center"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", "a JSON web token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII", "a private key"),
        ("redis://:hunter2@10.0.0.1", "a password in an address"),
        (RANDOM, "a secret, being random"),
        (HEX, "a secret, being random"),
    ],
)
def test_a_text_is_known_by_its_shape(text: str, what: str) -> None:
    (told,) = suspicions("settings", {"anything": [text]}, (), closed=True)

    assert f"settings: /anything/0 looks like {what} and is readable" in told
    assert text not in told


@pytest.mark.parametrize(
    "text",
    [
        "You are brief and kind, and you never say what you do not know.",
        "https://api.openai.com/v1",
        "gpt-4o-mini",
        "models/snakers4_silero-vad/and/another/very/long/path",
        "123e4567-e89b-12d3-a456-426614174000",
        "a" * 64,
        "0" * 40,
        "12345678901234567890123456789012",
        "skater",
        "",
    ],
)
def test_what_is_no_secret_is_not_taken_for_one(text: str) -> None:
    assert suspicions("settings", {"text": text}, ()) == []


@pytest.mark.parametrize("part", ["a.", "-eyJ", "://:", "sk-", "-----BEGIN ", "eyJ-", "cc_"])
def test_no_text_takes_long_to_look_at(part: str) -> None:
    began = time.process_time()
    for _ in range(20):
        shape_of("", part * 100_000)

    assert time.process_time() - began < 2


def test_a_hash_by_its_name_may_be_random() -> None:
    assert shape_of("sha256", HEX) is None
    assert shape_of("commit", HEX) is None


@pytest.mark.parametrize(
    "name",
    ["api_key", "AccessToken", "client-secret", "PASSWORD", "Authorization", "cookie", "apikey"],
)
def test_a_member_called_like_a_secret_is_told(name: str) -> None:
    (told,) = suspicions("settings", {name: "hunter2222"}, ())

    assert f"/{name} looks like a secret, by its name" in told
    assert suspicions("settings", {name: "hunter2222"}, (), closed=True) == []


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": "unlimited"},
        {"keyboard": "en-US-intl"},
        {"token": "short"},
        {"token": 12345678},
        {"password_hint": "the name of your first device"},
        {"api_key": None},
        {"api_key": {"$sealed": {"fp": "sk-abcdefghijklmnop1234"}}},
    ],
)
def test_names_alone_do_not_warn_of_what_cannot_be_one(value: Any) -> None:
    assert suspicions("settings", value, ()) == []


def test_a_marked_field_is_not_warned_of_nor_anything_below_it() -> None:
    value = {"api_key": "sk-abcdefghijklmnop1234", "auth": {"token": "hunter2222"}}

    assert suspicions("llm", value, [("api_key",), ("auth",)]) == []


def test_the_key_itself_is_the_name_of_a_text() -> None:
    (told,) = suspicions("openai-token", "hunter2222", ())

    assert told.startswith("openai-token: the value looks like a secret, by its name")


def test_a_name_that_is_the_secret_is_not_shown() -> None:
    name = "sk-abcdefghijklmnop1234"
    told = suspicions("settings", {name: {"note": "x"}}, ())

    assert len(told) == 1
    assert name not in told[0]


def test_many_warnings_are_counted() -> None:
    told = suspicions("settings", {f"token{n}": "hunter2222" for n in range(9)}, ())

    assert (len(told), told[-1]) == (6, "settings: and 4 more")
