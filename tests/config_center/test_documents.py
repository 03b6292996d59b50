from __future__ import annotations

import pytest

from client_sdk.errors import InvalidValue
from config_center.documents import check_format, parse_text


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        ("text", "a: 1", "a: 1"),
        ("yaml", "a: [1, no, 0x1f]\nb: 'x'", {"a": [1, "no", 31], "b": "x"}),
        ("yaml", "", None),
        ("toml", "a = 1\n[b]\nc = true", {"a": 1, "b": {"c": True}}),
    ],
)
def test_a_document_becomes_its_value(form: str, text: str, value: object) -> None:
    assert parse_text(form, text, 32) == value


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        ("yaml", "a: &x 1\nb: *x", "line 2: aliases"),
        ("yaml", "a: !!python/name:os.system x", "tags"),
        ("yaml", "<<: {a: 1}", "merge keys"),
        ("yaml", "%YAML 1.1\n---\na: no", "directives"),
        ("yaml", "a: 1\n---\nb: 2", "one document"),
        ("yaml", "a: 1\na: 2", "stands twice"),
        ("yaml", "a: [1", "not YAML"),
        ("yaml", "a: \x07", "not YAML"),
        ("yaml", "[" * 40 + "]" * 40, "levels deep"),
        ("yaml", "a: 2001-12-14", "not a JSON value"),
        ("yaml", "a: .nan", "NaN"),
        ("yaml", "1: a", "not a text"),
        ("toml", "a = ", "not TOML"),
        ("toml", "a = 1979-05-27", "not a JSON value"),
    ],
)
def test_what_readers_could_take_differently_is_refused(form: str, text: str, why: str) -> None:
    with pytest.raises(InvalidValue, match=why):
        parse_text(form, text, 32)


def test_a_format_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidValue, match="did you mean yaml"):
        check_format("yml")
    check_format("json")
