from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from client_sdk.sealing import ANY
from config_center.problems import Problem
from config_center.schemas import PATTERNS, compile_binding, kinds_json


def test_nothing_is_fetched_for_a_schema() -> None:
    for ref in ("http://127.0.0.1:1/x.json", "file:///etc/passwd"):
        with pytest.raises(Problem) as refused:
            compile_binding({"json_schema": {"$ref": ref}})
        assert refused.value.name == "invalid"


@pytest.mark.parametrize("body", [{"kind": "lm"}, {}, {"json_schema": {"type": 1}}])
def test_a_binding_that_cannot_be_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        compile_binding(body)
    assert refused.value.name == "invalid"


def test_write_only_properties_are_secret_and_stand_for_texts_when_sealed() -> None:
    part = {"type": "string", "minLength": 20, "writeOnly": True}
    bound = compile_binding(
        {
            "json_schema": {
                "properties": {"key": part, "list": {"items": {"properties": {"k": part}}}},
                "allOf": [{"additionalProperties": True}],
            }
        }
    )
    sealed = {"$sealed": {"fp": "x"}}

    assert bound.secret_paths == (("key",), ("list", "*", "k"))
    assert bound.errors({"key": sealed, "list": [{"k": sealed}]}) == []
    (error,) = bound.errors({"key": "sk-1", "list": []})
    assert error["path"] == ".key"
    assert "sk-1" not in error["message"]


def test_a_kind_knows_its_secrets() -> None:
    assert compile_binding({"kind": "llm"}).secret_paths == (("api_key",),)


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        (
            {
                "properties": {"api_key": {"$ref": "#/$defs/s"}},
                "$defs": {"s": {"type": "string", "writeOnly": True}},
            },
            {("api_key",)},
        ),
        ({"type": "array", "prefixItems": [{"writeOnly": True}]}, {(ANY,)}),
        ({"if": True, "then": {"properties": {"k": {"writeOnly": True}}}}, {("k",)}),
        ({"if": True, "else": {"properties": {"k": {"writeOnly": True}}}}, {("k",)}),
        ({"dependentSchemas": {"a": {"properties": {"k": {"writeOnly": True}}}}}, {("k",)}),
        (
            {"$defs": {"n": {"properties": {"k": {"writeOnly": True}, "n": {"$ref": "#/$defs/n"}}}},
             "$ref": "#/$defs/n"},
            {("k",)},
        ),
    ],
)  # fmt: skip
def test_secrets_are_found_wherever_a_path_leads(document: dict, paths: set) -> None:
    assert set(compile_binding({"json_schema": document}).secret_paths) == paths


@pytest.mark.parametrize(
    "document",
    [
        {"patternProperties": {"^api": {"writeOnly": True}}},
        {"not": {"properties": {"k": {"writeOnly": True}}}},
        {"$defs": {"unused": {"writeOnly": True}}},
    ],
)
def test_a_secret_that_cannot_be_followed_refuses_the_schema(document: dict) -> None:
    with pytest.raises(Problem, match="cannot be followed"):
        compile_binding({"json_schema": document})


def test_no_pattern_of_a_kind_is_shown_to_whoever_typed_the_value() -> None:
    def patterns(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            found = schema.get("pattern")
            if isinstance(found, str):
                yield found
        below = schema.values() if isinstance(schema, dict) else schema
        for part in below if isinstance(schema, dict | list) else ():
            yield from patterns(part)

    schemas = [kind["json_schema"] for kind in kinds_json()]
    assert set(patterns(schemas)) == set(PATTERNS)
    (error,) = compile_binding({"kind": "gateway"}).errors({"restart": {"at": "25:00"}})
    assert error == {"path": ".restart.at", "message": "must be a time of the day, as 03:30"}
