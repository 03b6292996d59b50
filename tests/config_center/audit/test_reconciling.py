"""Which changes of the journal have no entry."""

from __future__ import annotations

from dataclasses import replace

from client_sdk.contents import Op
from client_sdk.records import Header
from config_center.audit.entries import Entry
from config_center.audit.reconciling import run_name, unaccounted

CHAIN = "c0ffee00c0ffee00"
RUN = run_name(CHAIN, "abcd")
HEADER = Header(
    ns="default", e=2, v=17, p=bytes(32), type="put", id="5e", req_hash="h",
    ops=(Op("prompt", "del", 1, None),), state=bytes(32), kid="k", ts=1_000, author="ci",
    comment="why", request=RUN + "-1f",
)  # fmt: skip


def test_a_change_that_was_let_in_here_and_that_no_entry_names_gets_one() -> None:
    (found,) = unaccounted([HEADER], CHAIN, set(), 9_000)

    assert found == Entry(
        at=9_000, event="found", outcome="accepted", actor="ci", namespace="default",
        keys=("prompt",), comment="why", change="5e", position="2-17", request=RUN + "-1f",
        since=1_000, detail=found.detail,
    )  # fmt: skip


def test_what_has_an_entry_or_is_another_centers_is_left_alone() -> None:
    assert unaccounted([HEADER], CHAIN, {HEADER.request}, 0) == []
    assert unaccounted([HEADER], "decaf000decaf000", set(), 0) == []
    assert unaccounted([replace(HEADER, request="")], CHAIN, set(), 0) == []
