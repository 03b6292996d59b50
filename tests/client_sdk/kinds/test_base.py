"""kinds/base.py: problems with their place and without what was found; secrets sealed or masked."""

from typing import Literal

import pytest

from client_sdk import sealing
from client_sdk.errors import InvalidValue
from client_sdk.kinds.base import Kind, Problem, SecretText, Settings, WebAddress, masked
from client_sdk.values import freeze


class Inner(Settings):
    token: SecretText | None = None
    size: int = 1


class Nested(Settings):
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    named: dict[str, SecretText] | None = None


class Web(Settings):
    type: Literal["web"]
    address: WebAddress
    key: SecretText


class Nothing(Settings):
    type: Literal["none"]


NESTED = Kind("nested", Nested)
WEB = Kind("web", Web, Nothing)
SEAL = {"$sealed": {"dek": "d", "nonce": "n", "ct": "c", "fp": "f"}}
SOUND = {"type": "web", "address": "https://h:8/v1", "key": "s3cret"}


def test_secret_fields_are_found_wherever_the_marker_is():
    assert NESTED.secret_fields() == (("inner", "token"), ("many", "*", "token"), ("named", "*"))
    assert WEB.secret_fields() == (("key",),)


def test_a_sound_value_has_no_problems_sealed_frozen_or_plain():
    assert WEB.validate(SOUND) == []
    assert WEB.validate(freeze({**SOUND, "key": SEAL})) == []
    assert NESTED.validate({"many": [{"token": SEAL}], "named": {"a": SEAL, "b": "x"}}) == []


def test_a_sealed_object_stands_only_where_a_secret_is():
    assert WEB.validate({**SOUND, "address": SEAL}) == [
        Problem(".address", "must be a valid string")
    ]
    assert [p.path for p in WEB.validate({**SOUND, "key": {"$sealed": {}, "x": 1}})] == [".key"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [Problem("", "must be an object")]),
        ({"type": "wen"}, [Problem(".type", "must be one of web, none")]),
        ({}, [Problem(".type", "must be one of web, none")]),
        ({"type": "web", "address": "http://h"}, [Problem(".key", "is missing")]),
        (
            {**SOUND, "kee": "s3cret"},
            [Problem(".kee", "there is no such field; did you mean key?")],
        ),
    ],
)
def test_a_problem_says_where_and_what_belongs_there(value, expected):
    assert WEB.validate(value) == expected


def test_a_problem_deep_inside_has_its_whole_path_and_near_names():
    problems = NESTED.validate({"inner": {"sise": 1}, "many": [{"tokken": 1}], "named": []})

    assert problems == [
        Problem(".inner.sise", "there is no such field; did you mean size?"),
        Problem(".many[0].tokken", "there is no such field; did you mean token?"),
        Problem(".named", "must be an object"),
    ]


@pytest.mark.parametrize(
    "address",
    [
        "ftp://h",
        "h/v1",
        "http://",
        "http://u:p@h",
        "http://h?k=1",
        "http://h#x",
        "http://h:x",
        "http://h /",
    ],
)
def test_an_address_carries_no_secret_and_is_one(address):
    (problem,) = WEB.validate({**SOUND, "address": address})

    assert problem.message.startswith("must be an")


def test_no_problem_shows_what_was_found():
    wrong = {"type": "s3cret", "address": "s3cret", "key": ["s3cret"]}

    for value in (wrong, {**wrong, "type": "web"}, "s3cret"):
        assert "s3cret" not in str(WEB.validate(value))


def test_loading_fills_the_defaults_and_cannot_be_changed():
    settings = NESTED.load({"inner": {"token": "t"}})

    assert settings == Nested(inner=Inner(token="t", size=1))
    with pytest.raises(ValueError, match="frozen"):
        settings.inner = Inner()


def test_what_is_still_sealed_does_not_load():
    with pytest.raises(InvalidValue) as caught:
        WEB.load({**SOUND, "key": SEAL})

    assert caught.value.path == ".key"
    assert caught.value.__cause__ is None


def test_secrets_are_shown_as_stars_and_sealed_ones_as_sealing_shows_them():
    assert masked(WEB, SOUND) == {**SOUND, "key": "***"}
    assert WEB.masked({**SOUND, "key": SEAL}) == sealing.masked({**SOUND, "key": SEAL})
    assert NESTED.masked({"inner": {"token": None}, "many": [{"token": "t"}], "named": 3}) == {
        "inner": {"token": None},
        "many": [{"token": "***"}],
        "named": 3,
    }
    assert NESTED.masked({"inner": [], "many": {"x": 1}}) == {"inner": [], "many": {"x": 1}}


def test_the_schema_names_the_kind_and_hides_the_secret():
    schema = WEB.json_schema()

    assert schema["title"] == "web"
    assert schema["$defs"]["Web"]["properties"]["key"]["writeOnly"] is True
