"""What an entry tells, and what never gets into one."""

from __future__ import annotations

import orjson
import pytest

from config_center.audit.entries import (
    Entry,
    asked_for,
    comment_of,
    is_judging,
    keys_of,
    outcome_of,
    printable,
    seen_from,
    unquoted,
)

FORGED = "why\r\n2026-01-01 INFO all is well\x1b[2K\x1b[31m\x9b31m\u2028next\u202eflow\ud800\x00"


def test_an_entry_is_one_line_of_sorted_names_without_what_is_empty() -> None:
    entry = Entry(at=5, actor="alice", keys=("a", "b"), asked={"percent": 5})

    assert entry.encode(7) == (
        b'{"actor":"alice","asked":{"percent":5},"at":5,"event":"call","keys":["a","b"],"n":7}'
    )


def test_a21_nothing_that_was_sent_can_forge_a_line_or_move_a_cursor() -> None:
    entry = Entry(
        at=5,
        actor=FORGED,
        role=FORGED,
        comment=FORGED,
        detail=FORGED,
        address=FORGED,
        keys=(FORGED,),
        asked={FORGED: FORGED, "namespaces": [FORGED]},
    )

    text = entry.encode(1).decode("utf-8")

    assert text.isprintable()
    assert orjson.loads(text)["comment"] == (
        "why\\x0d\\x0a2026-01-01 INFO all is well\\x1b[2K\\x1b[31m\\x9b31m\\u2028next\\u202eflow"
        "\\ud800\\x00"
    )


def test_a21_every_text_is_cut() -> None:
    ten_mib = "x\n" * (5 << 20)
    entry = Entry(at=5, actor=ten_mib, comment=ten_mib, detail=ten_mib, asked={"name": ten_mib})

    raw = entry.encode(1)

    assert len(raw) < 3_000
    assert orjson.loads(raw)["actor"].endswith("…")
    assert printable("as it is, 你好 ½") == "as it is, 你好 ½"


@pytest.mark.parametrize(
    ("body", "declared", "told"),
    [
        ({"name": "ci", "role": "admin"}, {"name", "role"}, {"name": "ci", "role": "admin"}),
        ({"rollout": {"percent": 5, "salt": "s"}}, {"rollout"}, {"percent": 5}),
        ({"to": 3, "comment": "c"}, {"to", "comment"}, {"to": 3}),
        ({"force": True, "percent": 2.5}, {"force", "percent"}, {"force": True, "percent": 2.5}),
        ({"namespaces": ["a"]}, {"namespaces"}, {"namespaces": ["a"]}),
        ({"two_person": False}, {"two_person", "staged"}, {"two_person": False}),
        ({"reason": "incident 4711"}, {"reason"}, {"reason": "incident 4711"}),
        ({"namespaces": [{"value": "sesame"}]}, {"namespaces"}, {}),
        ({"to": 2**60, "name": {"a": 1}, "role": None}, {"to", "name", "role"}, {}),
        ({"value": "sesame", "json_schema": {}}, {"value", "json_schema"}, {}),
        ("sesame", {"name"}, {}),
        (None, {"name"}, {}),
    ],
)
def test_of_a_body_only_what_is_no_value_is_told(
    body: object, declared: set[str], told: dict[str, object]
) -> None:
    assert asked_for(body, {}, declared) == told


def test_rules_scopes_and_urgency_are_told() -> None:
    rules = {"two_person": False, "other": True}
    scopes = [{"namespace": "prod", "prefix": "llm."}, {"namespace": "dev"}, "noise"]

    assert asked_for(rules, {"urgent": "true"}, {"two_person", "urgent"}) == {
        "two_person": False,
        "urgent": "true",
    }
    assert asked_for({"policy": rules}, {}, {"policy"}) == {"two_person": False}
    assert asked_for({"policy": rules}, {}, {"value"}) == {}
    assert asked_for({"scopes": scopes}, {}, {"scopes"}) == {"scopes": ["prod/llm.", "dev", ""]}


def test_a_configuration_that_was_sent_bare_is_not_told_by_the_names_of_its_fields() -> None:
    """`PUT keys/llm` with the value itself as the body: its `key` is an API key."""
    bare = {"key": "sk-sesame", "name": "sesame", "to": "sesame", "operations": [{"key": "sesame"}]}
    declared = {"value", "format", "comment", "rollout"}

    assert asked_for(bare, {}, declared) == {}
    assert keys_of("llm", bare, declared, None) == ("llm",)


def test_keys_are_those_of_the_path_of_the_operations_and_of_the_answer() -> None:
    operations = {"operations": [{"key": "a"}, {"key": 5}, "noise", {"op": "put"}]}
    answer = {"key": "b", "keys": [{"key": "c"}, {"key": "a"}, "noise"]}

    assert keys_of("path", operations, {"operations"}, answer) == ("path", "a", "b", "c")
    assert keys_of(None, {"operations": "noise"}, {"operations"}, {"keys": 5}) == ()
    assert keys_of(None, None, set(), None) == ()


def test_the_comment_is_the_bodys_or_the_querys() -> None:
    assert comment_of({"comment": "why"}, {"comment": "not this"}) == "why"
    assert comment_of(None, {"comment": "why"}) == "why"
    assert comment_of({"reason": "fire"}, {}, {"reason"}) == "fire"
    assert (comment_of({"comment": 5}, {}), comment_of({}, {})) == ("", "")


def test_a22_what_a_refusal_quotes_is_left_out() -> None:
    detail = """there is no field 'sk-it\\'s' and no "pass\\"word"; known: value, format"""

    assert unquoted(detail) == "there is no field '…' and no '…'; known: value, format"
    assert (is_judging("invalid"), is_judging("schema"), is_judging("version-moved")) == (
        *(True, True, False),
    )


@pytest.mark.parametrize(
    ("status", "problem", "outcome"),
    [
        (200, "", "accepted"),
        (304, "", "accepted"),
        (412, "version-moved", "refused"),
        (503, "busy", "refused"),
        (504, "outcome-unknown", "unknown"),
        (500, "internal", "unknown"),
        (0, "", "unknown"),
    ],
)
def test_what_came_of_it(status: int, problem: str, outcome: str) -> None:
    assert outcome_of(status, problem) == outcome


@pytest.mark.parametrize(
    ("remote", "forwarded", "seen"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "9.9.9.9, <script>", "10.0.0.1"),
        (None, None, ""),
    ],
)
def test_from_where_it_came(remote: str | None, forwarded: str | None, seen: str) -> None:
    assert seen_from(remote, forwarded) == seen
