"""What no signature covers: kept over a restart, forgotten rather than believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client_sdk.holding import Group, Holding
from client_sdk.kept_back import KeptBack
from client_sdk.probation import Case, Probation
from tests.history import History, put

_history = History()
_history.add(put("a", 1), put("b", 1))
A, B = ({key: _history.state.entries[key]} for key in "ab")


def read(home: Path, token: str | None = "cc_token") -> tuple[Holding, Probation, list[str]]:
    notes: list[str] = []
    files = KeptBack(home, token)
    (held, modules), probation = files.read_held(notes), files.read_probation(notes)
    found = held, probation, notes
    assert modules == ({"llm"} if held.groups else set())
    files.close()
    return found


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert read(tmp_path) == (Holding(), Probation(), [])


@pytest.mark.parametrize("token", ["cc_token", None])
def test_both_are_kept_and_a_death_is_counted(tmp_path: Path, token: str | None) -> None:
    files = KeptBack(tmp_path, token)
    held = Holding((Group(A, crashed=True), Group(B)))
    files.write_held(held, {"llm"})
    files.write_probation(Probation((Case(A), Case(B))), alive=True)  # shorter ones write over it
    files.write_probation(Probation((Case(B, deaths=1, module=True),)), alive=True)
    files.close()

    assert read(tmp_path, token) == (held, Probation((Case(B, deaths=2, module=True),)), [])


def test_a_clean_end_is_no_death(tmp_path: Path) -> None:
    files = KeptBack(tmp_path, None)
    files.write_probation(Probation((Case(A),)), alive=False)
    files.close()

    assert read(tmp_path, None)[1] == Probation((Case(A),))


def test_what_belongs_to_no_snapshot_is_cleared(tmp_path: Path) -> None:
    files = KeptBack(tmp_path, None)
    files.write_held(Holding((Group(A),)), {"llm"})
    files.write_probation(Probation((Case(A),)), alive=True)
    files.close()

    files.clear()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["held", "probation"])
@pytest.mark.parametrize("damage", ["torn", "edited", "another token", "empty", "no frame"])
def test_what_this_client_did_not_write_is_forgotten_with_a_sentence(
    tmp_path: Path, name: str, damage: str
) -> None:
    files = KeptBack(tmp_path, "cc_token")
    files.write_held(Holding((Group(A),)), {"llm"})
    files.write_probation(Probation((Case(A),)), alive=True)
    files.close()
    path = tmp_path / name
    raw = path.read_bytes()
    path.write_bytes(
        {
            "torn": raw[:-1],
            "edited": raw[:-9] + raw[-9:].swapcase(),
            "another token": raw,
            "empty": b"",
            "no frame": b"x" * 200,
        }[damage]
    )

    held, probation, notes = read(tmp_path, "cc_new" if damage == "another token" else "cc_token")

    if damage == "another token":
        assert (held, probation, len(notes)) == (Holding(), Probation(), 2)
    else:
        assert ((held, probation)[name == "probation"], len(notes)) == (
            (Holding(), Probation())[name == "probation"],
            1,
        )


def test_a_disk_that_takes_a_part_only_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, write = KeptBack(tmp_path, None), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[: len(data) // 2]))

    with pytest.raises(OSError, match="only a part"):
        files.write_probation(Probation((Case(A),)), alive=True)
    files.close()
