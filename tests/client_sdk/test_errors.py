from __future__ import annotations

from client_sdk import errors


def test_an_error_with_a_path_says_where() -> None:
    assert str(errors.InvalidValue("NaN", ".a")) == ".a: NaN"
    assert str(errors.InvalidValue("NaN")) == "NaN"
    assert str(errors.RuleInvalid("no operator", "[0]")) == "[0]: no operator"


def test_an_unknown_key_names_the_nearest_and_is_a_key_error() -> None:
    error = errors.UnknownKey("promt", ["prompt"])

    assert isinstance(error, KeyError)
    assert str(error) == "there is no key 'promt'; did you mean prompt?"


def test_a_missing_extra_says_the_line_to_type() -> None:
    assert "pip install 'config-center[http]'" in str(errors.MissingExtra("http", "http"))


def test_an_api_error_carries_the_problem() -> None:
    error = errors.ApiError(412, "version-moved", "it moved", {"latest": 3})

    assert (error.status, error.problem, error.members) == (412, "version-moved", {"latest": 3})
