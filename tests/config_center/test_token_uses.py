"""When tokens were last used: noted in memory, written rarely, lost without harm."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config_center.token_uses import TokenUses
from tests.until import until


def uses(*known: str) -> TokenUses:
    return TokenUses(lambda: set(known))


async def test_a_use_is_noted_at_once_and_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "uses.json"
    first = uses("a", "b")
    await first.open(path)
    first.note("a", 1)
    first.note("a", 2)

    assert (first.last("a"), first.last("b")) == (2, None)
    assert not path.exists()
    await first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = uses("a", "b")
    again.note("b", 3)  # before it is open
    await again.open(path)
    assert (again.last("a"), again.last("b")) == (2, 3)
    await again.close()


async def test_it_is_written_from_time_to_time_and_only_when_there_is_something(
    tmp_path: Path,
) -> None:
    path = tmp_path / "uses.json"
    mine = uses("a")
    await mine.open(path, every=0.01)
    mine.note("a", 1)
    await until(path.exists)
    path.unlink()
    await mine.write()

    assert not path.exists()
    await mine.close()


async def test_a_token_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "uses.json"
    mine = uses("kept")
    await mine.open(path)
    mine.note("kept", 1)
    mine.note("gone", 2)
    await mine.close()

    assert path.read_bytes() == b'{"kept":1}'


@pytest.mark.parametrize("junk", [b"", b"{", b"[1]", b'{"a": "b"}', b"\xff", b"null"])
async def test_a_file_that_cannot_be_read_costs_what_it_said_and_no_more(
    tmp_path: Path, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "uses.json"
    path.write_bytes(junk)
    mine = uses("a")
    await mine.open(path)
    mine.note("a", 1)
    await mine.close()

    assert "does not say when tokens were used last" in caplog.text
    assert path.read_bytes() == b'{"a":1}'


async def test_a_disk_that_takes_nothing_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "away" / "uses.json"
    mine = uses("a")
    await mine.open(path)
    mine.note("a", 1)
    await mine.write()
    assert "cannot be written: No such file or directory" in caplog.text

    path.parent.mkdir()
    await mine.close()
    assert path.read_bytes() == b'{"a":1}'


async def test_without_a_directory_it_remembers_all_the_same() -> None:
    mine = uses("a")
    mine.note("a", 1)
    await mine.write()
    await mine.close()

    assert mine.last("a") == 1
