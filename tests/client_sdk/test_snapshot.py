"""What a host keeps: nothing is lost that was served, nothing damaged is believed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.contents import Op
from client_sdk.errors import SettingInvalid, StateInUse
from client_sdk.holding import Holding
from client_sdk.probation import Probation
from client_sdk.records import Position
from client_sdk.signing import REVOKED, Refusal, TrustList, Verifier, draft
from client_sdk.snapshot import Restored, Snapshots
from client_sdk.state import NamespaceState
from tests.history import KEY, ROOT, STRANGER, History, put, verifier


def opened(home: Path) -> tuple[Snapshots, Restored]:
    snapshots = Snapshots(home, "ns")
    snapshots.open()
    return snapshots, snapshots.restore(verifier())


def restored(home: Path) -> Restored:
    snapshots, found = opened(home)
    snapshots.close()
    return found


def follow(snapshots: Snapshots, history: History, *ops: Op, ring: dict[str, str] | None = None):
    record = history.add(*ops)
    snapshots.advance(history.state, [record], record, ring or {})


def image(snapshots: Snapshots, history: History) -> None:
    snapshots.advance(history.state, [], history.head, {})


def same(state: NamespaceState | None, history: History) -> bool:
    return (
        state is not None
        and state.digest == history.state.digest
        and state.c == history.state.c
        and dict(state.entries) == dict(history.state.entries)
    )


def test_an_empty_directory_knows_nothing(tmp_path: Path) -> None:
    assert restored(tmp_path / "new") == Restored()


def test_what_was_written_is_read_again_with_bodies_and_mark(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    for number in range(1, 4):
        follow(snapshots, history, put("k", number, number))
    snapshots.close()

    found = restored(tmp_path)

    assert same(found.state, history)
    assert found.head.position == history.head.position
    assert (found.mark.position, found.mark.c) == (history.state.position, history.state.c)
    assert found.notes == ()


def test_a_restarted_client_appends_where_the_last_one_ended(tmp_path: Path) -> None:
    history = History()
    for number in range(1, 5):
        snapshots, found = opened(tmp_path)
        if found.state is None:
            image(snapshots, history)
        follow(snapshots, history, put("k", number, number))
        snapshots.close()

    assert same(restored(tmp_path).state, history)
    assert len(list(tmp_path.glob("generation-*.base"))) == 1


@pytest.mark.parametrize("damage", ["torn", "zeros", "flipped"])
def test_a_damaged_end_of_the_tail_costs_only_itself(tmp_path: Path, damage: str) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1))
    whole = tmp_path.joinpath("generation-1.tail").read_bytes()
    before = history.state
    follow(snapshots, history, put("k", 2, 2))
    snapshots.close()
    tail = tmp_path / "generation-1.tail"
    both = tail.read_bytes()
    ends = {"torn": both[:-9], "zeros": whole + bytes(64), "flipped": both[:-1] + b"\0"}
    tail.write_bytes(ends[damage])

    found = restored(tmp_path)

    assert found.state.digest == before.digest
    assert found.mark.position == history.state.position  # the mark is never lowered
    assert len(found.notes) == 1


def test_behind_a_torn_tail_a_new_generation_begins(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1))
    snapshots.close()
    tail = tmp_path / "generation-1.tail"
    tail.write_bytes(tail.read_bytes() + b"\0\0\1")

    snapshots, found = opened(tmp_path)
    assert same(found.state, history)
    follow(snapshots, history, put("k", 2, 2))
    snapshots.close()

    assert same(restored(tmp_path).state, history)


def test_a_corrupt_base_is_set_aside_for_the_one_before(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1))
    snapshots.fold(history.state, history.head)
    follow(snapshots, history, put("k", 2, 2))
    snapshots.close()
    base = tmp_path / "generation-2.base"
    base.write_bytes(base.read_bytes()[:-7])

    snapshots, found = opened(tmp_path)

    assert found.state.position == Position(1, 2)
    assert found.mark.position == Position(1, 3)
    assert {path.name for path in tmp_path.glob("*.corrupt-2")} == {
        "generation-2.base.corrupt-2",
        "generation-2.tail.corrupt-2",
    }
    image(snapshots, history)
    follow(snapshots, history, put("k", 3, 3))
    snapshots.close()
    assert same(restored(tmp_path).state, history)


def test_after_a_write_that_failed_the_next_one_is_whole(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    tail = tmp_path / "generation-1.tail"
    tail.unlink()
    tail.mkdir()
    with pytest.raises(OSError, match="generation-1"):
        follow(snapshots, history, put("k", 1))

    follow(snapshots, history, put("k", 2, 2))
    snapshots.close()

    assert same(restored(tmp_path).state, history)


def test_the_position_is_never_lowered(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    old, head = history.state, history.head
    follow(snapshots, history, put("k", 1))

    snapshots.advance(old, [], head, {})
    snapshots.close()

    assert restored(tmp_path).mark.position == Position(1, 2)


def test_an_older_snapshot_does_not_lower_the_mark_beside_it(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1))
    snapshots.close()
    tmp_path.joinpath("generation-1.tail").write_bytes(b"")

    found = restored(tmp_path)

    assert found.state.position == Position(1, 1)
    assert (found.mark.position, found.mark.c) == (history.state.position, history.state.c)


def test_a_position_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    snapshots.close()
    tmp_path.joinpath("position").write_bytes(b"{")

    found = restored(tmp_path)

    assert found.mark.position == Position(1, 1)
    assert tmp_path.joinpath("position.corrupt").exists()


def test_the_newest_heartbeat_is_kept(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    snapshots.advance(history.state, [], history.head, {}, beat=7)
    snapshots.note_beat(9)
    snapshots.note_beat(8)
    snapshots.close()

    found = restored(tmp_path)

    assert (found.beat, found.mark.position) == (9, Position(1, 1))


def test_a_data_key_that_was_shredded_is_in_no_image_and_comes_back_from_none(
    tmp_path: Path,
) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    whole = {"a": "kek:AAAA", "gone": "kek:SHREDDED"}
    snapshots.advance(history.state, [], history.head, whole)
    follow(snapshots, history, put("k", 1), ring=whole)
    snapshots.keep_ring({"a": "kek:AAAA"})
    snapshots.close()
    snapshots, found = opened(tmp_path)
    assert found.ring == {"a": "kek:AAAA"}, "the older image still has it"

    follow(snapshots, history, put("k", 2), ring={"a": "kek:AAAA"})
    snapshots.close()

    assert not [p for p in tmp_path.iterdir() if b"SHREDDED" in p.read_bytes()]
    assert same(restored(tmp_path).state, history)


def test_the_ring_of_a_later_change_is_kept(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1), ring={"dek": "kek:AAAA"})
    snapshots.close()

    assert restored(tmp_path).ring == {"dek": "kek:AAAA"}


def test_a_long_tail_is_due_and_two_generations_stay(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    records = [history.add(put("k", number, number)) for number in range(1, 1002)]
    assert not snapshots.due
    snapshots.advance(history.state, records, history.head, {})
    assert snapshots.due

    for _ in range(3):
        snapshots.fold(history.state, history.head)

    assert not snapshots.due
    assert sorted(path.name for path in tmp_path.glob("generation-*")) == [
        "generation-3.base",
        "generation-3.tail",
        "generation-4.base",
        "generation-4.tail",
    ]
    snapshots.close()


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    home = tmp_path / "state"
    history = History()
    snapshots, _ = opened(home)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1), ring={"dek": "kek:AAAA"})
    snapshots.kept_back.write_held(Holding())
    snapshots.kept_back.write_probation(Probation(), alive=True)
    snapshots.close()

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {0o600}


def test_another_process_is_refused(tmp_path: Path) -> None:
    snapshots, _ = opened(tmp_path)
    code = (
        "import sys, pathlib; from client_sdk.snapshot import Snapshots;"
        "Snapshots(pathlib.Path(sys.argv[1]), 'ns').open()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert "StateInUse" in done.stderr
    with pytest.raises(StateInUse):
        opened(tmp_path)
    snapshots.close()
    opened(tmp_path)[0].close()


def test_a37_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "open to all"
    home.mkdir()
    home.chmod(0o777)

    with pytest.raises(SettingInvalid, match="chmod 700"):
        opened(home)


def test_a37_a_link_in_the_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    for name in ("position", "lock", "generation-1.base.new", "generation-1.tail"):
        home.mkdir(mode=0o700)
        (home / name).symlink_to(elsewhere)

        with contextlib.suppress(OSError):
            _one_step(home)

        assert elsewhere.read_text() == "precious"
        shutil.rmtree(home)


def _one_step(home: Path) -> None:
    snapshots = Snapshots(home, "ns")
    try:
        snapshots.open()
        snapshots.restore(verifier())
        image(snapshots, History())
    finally:
        snapshots.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a37_a_file_that_another_user_put_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "generation-9.base"
    planted.write_bytes(b"planted")
    os.chown(planted, 1234, 1234)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    with pytest.raises(SettingInvalid, match=r"generation-9\.base in the state directory belongs"):
        Snapshots(tmp_path, "ns").open()


def test_a31_an_older_snapshot_put_back_is_served_stale_and_lowers_nothing(tmp_path: Path) -> None:
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    snapshots.close()
    old = {path: path.read_bytes() for path in tmp_path.glob("generation-*")}
    snapshots, _ = opened(tmp_path)
    follow(snapshots, history, put("k", 1))
    snapshots.close()
    for path, raw in old.items():
        path.write_bytes(raw)

    found = restored(tmp_path)

    assert found.state.position == Position(1, 1)
    assert found.mark.position == Position(1, 2)


def test_a31_a_snapshot_that_a_stranger_signed_is_set_aside(tmp_path: Path) -> None:
    snapshots, _ = opened(tmp_path)
    image(snapshots, History(key=STRANGER))
    snapshots.close()

    found = restored(tmp_path)

    assert found.state is None
    assert "not signed by a trusted key" in found.notes[0]


def test_a_snapshot_outlives_the_key_that_signed_it(tmp_path: Path) -> None:
    """The list may be newer than it: nobody stops to serve because a key was replaced."""
    history = History()
    snapshots, _ = opened(tmp_path)
    image(snapshots, history)
    follow(snapshots, history, put("k", 1))
    snapshots.close()
    gone = {KEY.kid: Refusal(KEY.public, 7, REVOKED)}
    after = TrustList.sign(ROOT, draft({STRANGER.kid: STRANGER.public}, 2, refused=gone))

    snapshots = Snapshots(tmp_path, "ns")
    snapshots.open()
    found = snapshots.restore(Verifier(after))
    snapshots.close()

    assert (same(found.state, history), found.notes) == (True, ())
