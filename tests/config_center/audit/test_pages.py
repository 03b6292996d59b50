"""An exported file proves itself, and nothing that was done to it stays unseen."""

from __future__ import annotations

import orjson
import pytest

from client_sdk.errors import NotVerified
from config_center.audit.chain import End, Seal, beginning
from config_center.audit.pages import entry_line, examine, head_line, seal_line
from tests.config_center.audit.test_chain import CHAIN, KEY, SEAL, STRANGER, TEN, VERIFIER

HEAD = head_line(CHAIN, beginning(CHAIN))
LINES = [entry_line(*link) for link in TEN]
FILE = [HEAD, *LINES, seal_line(SEAL)]
FIVE = LINES[4]


def test_an_export_is_json_line_by_line_and_intact() -> None:
    found = examine(FILE, VERIFIER)

    assert (found.broken, found.count) == ("", 10)
    plain = [orjson.loads(line) for line in FILE]
    assert plain[1]["entry"]["actor"] == "alice 0"
    assert [line.count(b"\n") for line in FILE] == [1] * len(FILE)


def test_a_part_of_it_is_intact_too_and_says_where_it_begins() -> None:
    after = End(4, TEN[3][1])
    seal = Seal.issue(CHAIN, after, SEAL.last, 5, KEY)

    found = examine([head_line(CHAIN, after), *LINES[4:], seal_line(seal)], VERIFIER)

    assert (found.broken, found.after, found.count) == ("", 4, 6)


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        pytest.param([HEAD, *LINES[:4], *LINES[5:], FILE[-1]], 5, id="a line is deleted"),
        pytest.param(
            [HEAD, *LINES[:4], FIVE.replace(b"alice", b"mallo"), *LINES[5:], FILE[-1]],
            5,
            id="an entry is edited",
        ),
        pytest.param(
            [HEAD, *LINES[:4], LINES[5], FIVE, *LINES[6:], FILE[-1]], 5, id="lines are exchanged"
        ),
        pytest.param([HEAD, *LINES[:4], FIVE.upper(), *LINES[5:], FILE[-1]], 5, id="upper case"),
        pytest.param(
            [HEAD, *LINES[:4], FIVE.replace(b'"entry"', b'"antry"'), *LINES[5:], FILE[-1]],
            5,
            id="what is around an entry is edited",
        ),
        pytest.param([HEAD, *LINES[:4], b"noise\n", FILE[-1]], 5, id="a line is noise"),
        pytest.param([HEAD, *LINES[:4], b'{"hash":"zz', FILE[-1]], 5, id="a hash is noise"),
        pytest.param([HEAD, *LINES[:9], LINES[9][:-9]], 10, id="it ends inside a line"),
        pytest.param([HEAD, *LINES], None, id="it ends before its seal"),
        pytest.param([HEAD, *LINES[:8], FILE[-1]], 9, id="lines before the seal are cut off"),
        pytest.param([*FILE, LINES[0]], 11, id="something stands behind the seal"),
        pytest.param([HEAD, FILE[-1]], 1, id="everything is gone but the seal"),
        pytest.param(
            [*FILE[:-1], seal_line(Seal.issue(CHAIN, beginning(CHAIN), SEAL.last, 5, STRANGER))],
            None,
            id="somebody else's seal",
        ),
    ],
)
def test_what_was_done_to_a_file_is_found(lines: list[bytes], first: int | None) -> None:
    found = examine(lines, VERIFIER)

    assert found.broken
    assert found.entry == first


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "not an export"),
        (b"noise", "not an export"),
        (b"[]", "not an export"),
        (b'{"audit":1}', "not an export"),
        (b'{"audit":1,"chain":"c","after":"x"}', "not an export"),
        (b'{"audit":2}', "newer"),
        (head_line(CHAIN, beginning(CHAIN), excerpt=True), "without a filter"),
    ],
)
def test_what_is_no_export_is_said(line: bytes, says: str) -> None:
    with pytest.raises(NotVerified, match=says):
        examine([line], VERIFIER)
