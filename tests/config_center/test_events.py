"""What is read along of a namespace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client_sdk.contents import Op
from client_sdk.records import Record
from client_sdk.state import NamespaceState
from config_center import events
from config_center.events import Authors, Events
from config_center.review.policy import POLICY, Freeze, Policy
from config_center.review.stored import StoredDraft, author_of
from tests.history import History, put

ICE = Policy(frozen=Freeze("ann", "incident 4711", 1_700_000_000_000))
NO_RULES = Policy()
TWO = Policy(two_person=True)


def told(
    *ops: Op, kind: str = "put", before: Policy | None = NO_RULES, change: str = "", **about: Any
) -> str:
    """What is said after position and author."""
    record = History().add(*ops, kind=kind, change=change)
    record = replace(record, header=replace(record.header, **about))
    said_of = Events(before, {"d1": "ann", "d2": "Tester"}.get)
    begin, _, words = said_of.words(record).partition("  tester  ")
    assert begin == "1-2"
    return words


def test_keys_are_named_with_what_was_done_why_and_who_agreed() -> None:
    assert told(put("a", 1), Op("b", "del", 2, None)) == "a (set), b (del)"
    assert told(put("a", 1), comment="shorter") == "a (set)  shorter"
    assert told(put("a", 1), approved_by="bob") == "a (set), approved by bob"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (Policy(), ICE, "frozen: incident 4711"),
        (ICE, replace(ICE, frozen=Freeze("bob", "again", 2)), "frozen: again"),
        (ICE, Policy(), "freeze lifted"),
        (Policy(), Policy(), "rules as before"),
        (ICE, ICE, "rules as before"),
        (Policy(), TWO, "rule two_person on"),
        (
            replace(ICE, two_person=True),
            replace(ICE, staged=True),
            "rule two_person off, rule staged on",
        ),
    ],
)
def test_a_freeze_and_the_rules_are_said_as_what_became_of_them(
    before: Policy | None, after: Policy, words: str
) -> None:
    assert told(put(POLICY, after.to_json()), before=before) == words


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (Policy(), "rules and freeze set: nothing is frozen"),
        (TWO, "rules and freeze set: nothing is frozen, rule two_person on"),
        (replace(ICE, staged=True), "rules and freeze set: frozen: incident 4711, rule staged on"),
    ],
)
def test_what_was_before_the_first_record_is_not_guessed(after: Policy, words: str) -> None:
    assert told(put(POLICY, after.to_json(), 2), before=None) == words


def test_before_the_first_rules_of_a_namespace_there_were_none() -> None:
    assert told(put(POLICY, ICE.to_json(), 1), before=None) == "frozen: incident 4711"


def test_each_record_is_told_on_top_of_the_one_before() -> None:
    history = History()
    records = [history.add(put(POLICY, each.to_json(), n)) for n, each in enumerate((ICE, TWO), 1)]
    said_of = Events(Policy(), {}.get)

    said = [said_of.words(record).rpartition("  ")[2] for record in records]

    assert said == ["frozen: incident 4711", "freeze lifted, rule two_person on"]


def test_the_reason_of_a_freeze_is_said_once() -> None:
    words = told(put(POLICY, ICE.to_json()), comment="incident 4711")

    assert words == "frozen: incident 4711"


def test_schemas_and_shredding_are_said_of_the_key_that_they_are_about() -> None:
    gone = [put(f"_shredded.{dek}", {"key": "llm", "version": 3}) for dek in "ab"]
    lost = put("_shredded.c", {"lost": "5e0c"})

    assert told(*gone) == "secrets of llm version 3 destroyed"
    assert told(lost) == "secrets lost with the key-encryption key 5e0c"
    assert told(put("_schema.llm", {"kind": "llm"})) == "llm bound to llm"
    assert told(put("_schema.a", {"json_schema": {}})) == "a bound to a JSON Schema"


def test_a_record_without_any_key_says_what_it_is() -> None:
    assert told(kind="cancel", change="d1") == "draft d1 of ann rejected"
    assert told(kind="cancel", change="d2") == "draft d2 withdrawn"
    assert told(kind="cancel", change="other") == "change other cancelled"
    assert told(kind="end") == "namespace ended"
    assert told() == "nothing changed"


def test_the_author_of_a_draft_is_looked_up_once_for_all_who_read_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draft = StoredDraft("d1", "ns", "change", "ann", "", "", 0, ())
    history, asked = History("_system"), []
    history.add(put("draft.ns.00", draft.to_json()))

    def counted(system: NamespaceState, ns: str, ident: str) -> str | None:
        asked.append(ident)
        return author_of(system, ns, ident)

    monkeypatch.setattr(events, "author_of", counted)
    authors = Authors(lambda: history.state)

    found = [authors.of("ns", ident) for ident in ("d1", "d2", "d1", "d2") for _ in range(500)]
    other = authors.of("other", "d1")

    assert (found, other) == (["ann"] * 500 + [None] * 500 + ["ann"] * 500 + [None] * 500, None)
    assert asked == ["d1", "d2", "d1"]
    history.add(put("draft.ns.01", replace(draft, id="d2", author="bob").to_json()))
    assert authors.of("ns", "d2") == "bob", "a draft that is new here is found"


def test_no_more_authors_are_remembered_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_KNOWN", 10)
    system = History("_system").state
    authors = Authors(lambda: system)

    for number in range(25):
        authors.of("ns", f"change-{number}")

    assert len(authors._known) <= 10


def test_what_is_not_known_or_not_at_hand_keeps_its_own_name() -> None:
    record: Record = History().add(put(POLICY, TWO.to_json()))
    said_of = Events(Policy(), {}.get)

    assert said_of.words(replace(record, bodies={})).endswith("  _policy (set)")
    assert told(put("_newer", 1)) == "_newer (set)"
