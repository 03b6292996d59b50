import os
import subprocess
import sys

import pytest

from client_sdk.errors import StateInUse
from config_center.owner import OwnerLock, holder_of


def test_one_holds_it_and_the_next_is_told_who(tmp_path):
    path = tmp_path / "owner.lock"
    lock = OwnerLock.acquire(path, "the data directory data")

    assert (holder_of(path), OwnerLock.try_acquire(path)) == (os.getpid(), None)
    with pytest.raises(StateInUse) as refused:
        OwnerLock.acquire(path, "the data directory data")
    assert str(refused.value) == (
        f"the data directory data is in use by pid {os.getpid()}; stop that one first, or give "
        "this one a data directory of its own"
    )
    lock.release()
    lock.release()
    OwnerLock.acquire(path, "it").release()


@pytest.mark.parametrize("text", [b"", b"x", b"\xff"])
def test_a_holder_that_has_not_said_who_it_is_is_another_process(tmp_path, text):
    path = tmp_path / "owner.lock"
    lock = OwnerLock.try_acquire(path)
    path.write_bytes(text)

    with pytest.raises(StateInUse, match="it is in use by another process;"):
        OwnerLock.acquire(path, "it")
    lock.release()


def test_it_is_free_when_its_holder_is_killed(tmp_path):
    program = (
        "import sys, pathlib; from config_center.owner import OwnerLock\n"
        "lock = OwnerLock.acquire(pathlib.Path(sys.argv[1]), 'it'); print(flush=True); input()"
    )
    path = tmp_path / "owner.lock"
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        assert OwnerLock.try_acquire(path) is None
        holder.kill()

    OwnerLock.acquire(path, "it").release()
    assert holder_of(path) == os.getpid()


def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "owner.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        OwnerLock.try_acquire(tmp_path / "owner.lock")
    assert not (tmp_path / "elsewhere").exists()


def test_nobody_holds_a_file_that_is_not_there(tmp_path):
    assert holder_of(tmp_path / "gone") is None
