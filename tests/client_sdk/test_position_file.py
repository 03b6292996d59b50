"""The high-water mark survives what a crash can do to its file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.position_file import PositionFile
from client_sdk.records import Position
from client_sdk.steps import Mark


def mark(e: int, v: int) -> Mark:
    return Mark(Position(e, v), bytes([e, v]) * 16)


def loaded(path: Path) -> PositionFile:
    file = PositionFile(path)
    assert file.load() is None
    return file


def test_without_a_file_the_mark_is_the_beginning(tmp_path: Path) -> None:
    file = loaded(tmp_path / "position")

    assert (file.mark, file.beat) == (Mark(), 0)


@given(marks=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 99), st.integers(0, 99))))
def test_what_is_read_is_the_highest_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, marks: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("mark") / "position"
    file = PositionFile(path)
    for e, v, beat in marks:
        file.raise_to(mark(e, v), beat, sync=v % 2 == 0)

    found = loaded(path)

    assert found.mark == max([Mark(), *(mark(e, v) for e, v, _ in marks)], key=lambda m: m.position)
    assert found.beat == max([0, *(beat for _, _, beat in marks)])


@pytest.mark.parametrize("torn", [1, 40, 68])
def test_a_torn_write_leaves_the_mark_before(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "position"
    file = PositionFile(path)
    file.raise_to(mark(1, 1), 5)  # the second slot
    file.raise_to(mark(1, 2), 6)  # the first one
    raw = path.read_bytes()
    path.write_bytes(b"x" * torn + raw[torn:])

    found = loaded(path)

    assert (found.mark, found.beat) == (mark(1, 1), 5)
    found.raise_to(mark(1, 3), 7)
    assert loaded(path).mark == mark(1, 3)


@pytest.mark.parametrize("raw", [b"", b"{}", bytes(1024)])
def test_a_file_that_says_nothing_is_set_aside_with_a_sentence(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "position"
    path.write_bytes(raw)
    file = PositionFile(path)

    assert "set aside" in str(file.load())

    assert file.mark == Mark()
    assert path.with_suffix(".corrupt").read_bytes() == raw


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "position"
    PositionFile(path).raise_to(mark(1, 1), 0)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
