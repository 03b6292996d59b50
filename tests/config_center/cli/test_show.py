"""What others wrote, at a terminal: it is read, and does nothing."""

from __future__ import annotations

from typing import Any

import pytest

from config_center.cli import review, show

HIDE = "\x1b[8m\x9b2J\u202e"  # from here on nothing is shown; all is cleared; from right to left
SHOWN = "\\x1b[8m\\x9b2J\\u202e"


def test_a21_what_an_author_writes_does_not_hide_what_is_approved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    change = {"op": "replace", "path": f"/{HIDE}", "old": "a", "new": f"b{HIDE}"}
    draft: dict[str, Any] = {
        "id": "d",
        "state": "waiting",
        "keys": [{"key": "k", "op": "put"}],
        "author": f"ann{HIDE}",
        "at": "now",
        "expires": "then",
        "comment": f"why{HIDE}\ncontent 00",
        "rollout": {"percent": 5.0, "allow": ["everybody"]},
        "supersede": True,
        "changes": [{"key": "k", "op": "put", "changes": [change]}],
        "content": "c" * 64,
    }
    review._print_draft(draft)

    told = capsys.readouterr().out
    assert told.isascii()
    assert "\x1b" not in told
    assert told.count(SHOWN) == 3, "author, comment, path"
    assert f"why{SHOWN}\\ncontent 00\n" in told
    assert '"allow":["everybody"]' in told
    assert "aborts the rollout" in told


def test_a21_neither_tables_nor_words_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(("WHO",), [(HIDE,), (None,)])
    show.done({}, f"{HIDE}\nmore", json=False)

    told = capsys.readouterr().out
    assert told.isascii()
    assert (told.count(SHOWN), told.count("\x1b")) == (2, 0)
    assert "\nmore\n" in told
