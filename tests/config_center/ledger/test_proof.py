"""What a center believes of what it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client_sdk.errors import NotVerified
from client_sdk.image import Image
from client_sdk.records import GENESIS, START
from client_sdk.steps import Mark
from config_center.ledger import proof
from config_center.ledger.proof import mark_of, prove
from tests.history import STRANGER, History, put, verifier


def image_of(history: History) -> Image:
    return Image(replace(history.head, bodies={}), tuple(history.state.entries.values()))


def world() -> History:
    history = History()
    for number in range(1, 4):
        history.add(put("k", number, number))
    return history


def test_a_head_we_know_brings_no_news() -> None:
    history = world()

    proven = prove("ns", verifier(), image_of(history), None, mark_of(history.head))

    assert (proven.state.digest, proven.news, proven.hole) == (history.state.digest, (), False)


def test_rows_after_what_we_know_are_news_and_a_gap_before_them_is_a_hole() -> None:
    history = world()
    known = mark_of(history.records[1])

    linked = prove("ns", verifier(), image_of(history), history.records[2:], known)
    trimmed = prove("ns", verifier(), image_of(history), None, known)

    assert (linked.news, linked.hole) == (tuple(history.records[2:]), False)
    assert (trimmed.news, trimmed.hole) == ((), True)


def test_a_log_that_is_forged_unlinked_or_ends_elsewhere_is_not_believed() -> None:
    history, stranger = world(), History(key=STRANGER)
    start = Mark(START, GENESIS)
    forged = [*history.records[:1], stranger.add(put("k", 1))]
    gap = [history.records[0], *history.records[2:]]

    for rows, said in (
        (forged, "not signed"),
        (gap, "does not follow"),
        (history.records[:2], "does not end at its head"),
    ):
        with pytest.raises(NotVerified, match=said):
            prove("ns", verifier(), image_of(history), rows, start)


def test_every_difference_from_what_was_verified_is_said() -> None:
    history = world()
    state, recent = history.state, {r.position: r for r in history.records}
    image, log = image_of(history), history.records
    entry = image.entries[0]
    changed = replace(entry, latest=9)
    body = replace(entry, content=replace(entry.content, body=b"7"))
    other = world()
    other.add(put("k", 9, 4))
    resigned = replace(log[-1], sig=bytes(64))

    def compare(*args: Any) -> str | None:
        return proof.compare(*args, {"dek": "wrapped"})

    image = replace(image, ring={"dek": "wrapped", "of another center": "just now"})
    late = {at: recent[at] for at in sorted(recent)[2:]}
    after, stray = other.records[-1], History(key=STRANGER).add(put("k", 1))
    assert compare(state, image, log, recent) is None
    assert compare(state, image, log, late) is None
    assert compare(state, image, log[1:], recent) is None
    assert compare(state, image, log[:1], {}) is None
    assert compare(state, image, [*log, after], recent) is None
    said = [
        compare(state, image_of(other), log, recent),
        compare(state, replace(image, entries=(changed,)), log, recent),
        compare(state, replace(image, entries=(body,)), log, recent),
        compare(state, replace(image, entries=()), log, recent),
        compare(state, image, [resigned], recent),
        compare(state, replace(image, ring={"dek": "other"}), log, recent),
        compare(state, image, log, {at: r for at, r in recent.items() if r != log[1]}),
        compare(state, image, [log[0], *log[2:]], recent),
        compare(
            state, image, [*log, replace(after, header=replace(after.header, p=b"")), stray], recent
        ),
        compare(state, image, [], recent),
    ]
    words = (
        *("head", "current record of 'k'", "body of 'k'", "was removed", "log row 1-4 was changed"),
        *("a data key", "log row 1-2 was planted", "log row 1-2 was removed"),
        *("log row 1-5 was planted", "log row 1-1 was removed"),
    )
    assert all(word in str(each) for word, each in zip(words, said, strict=True))
