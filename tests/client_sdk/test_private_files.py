import os
import stat

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.private_files import read_private, write_private


def test_what_was_written_is_read_and_belongs_to_its_owner_alone(tmp_path):
    path = tmp_path / "token"
    write_private(path, "one\n")
    write_private(path, "two\n")

    assert (read_private(path, "the token"), stat.S_IMODE(path.stat().st_mode)) == ("two\n", 0o600)
    assert os.listdir(tmp_path) == ["token"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_private(tmp_path / "trust.json", "{}", 0o644)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "trust.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o602])
def test_a_file_of_ours_that_others_may_touch_is_refused_with_the_command(tmp_path, mode):
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(mode)

    with pytest.raises(SettingInvalid, match=f"the token {path} can be .* chmod 600 {path}"):
        read_private(path, "the token")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(("owner", "accepted"), [(0, True), (1234, False)])
def test_a_group_may_read_what_root_handed_out_and_nothing_else(tmp_path, owner, accepted):
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o640)
    os.chown(path, owner, 1234)
    tmp_path.chmod(0o755)
    child = os.fork()
    if child == 0:
        fd = os.open(path, os.O_RDONLY)  # before the privileges go: parents may be closed to them
        os.setgid(1234)
        os.setuid(1234)
        try:
            read_private(type(path)(f"/proc/self/fd/{fd}"), "the token")
            os._exit(0)
        except SettingInvalid:
            os._exit(1)
    _, status = os.waitpid(child, 0)

    assert (status == 0) is accepted


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * 70_000])
def test_nothing_but_a_short_text_is_a_token(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(SettingInvalid, match="is empty, too long or not text"):
        read_private(path, "the token")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(SettingInvalid, match=r"token .*/gone cannot be read .No such file"):
        read_private(tmp_path / "gone", "the token")


def test_a_fifo_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "token", 0o600)

    with pytest.raises(SettingInvalid, match="is not a regular file"):
        read_private(tmp_path / "token", "the token")


def test_a_symbolic_link_is_followed_to_a_private_file(tmp_path):
    write_private(tmp_path / "real", "secret")
    (tmp_path / "link").symlink_to("real")

    assert read_private(tmp_path / "link", "the token") == "secret"


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path):
    write_private(tmp_path / "token", "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(tmp_path / "token", "\ud800")

    assert os.listdir(tmp_path) == ["token"]
    assert (tmp_path / "token").read_text() == "old"
