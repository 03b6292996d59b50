"""keys.py: one key per data directory."""

import pytest

from client_sdk.errors import SettingInvalid
from device_gateway.keys import _make, token_key


def test_a_key_is_made_once_and_for_the_owner_alone(tmp_path):
    first, second = token_key(None, tmp_path / "data"), token_key(None, tmp_path / "data")
    path = tmp_path / "data" / "gateway-token.key"

    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_comes_second_takes_the_key_of_the_first(tmp_path):
    path = tmp_path / "k"
    _make(path)
    before = path.read_text()
    _make(path)

    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_that_is_given_is_taken_and_a_short_one_refused(tmp_path):
    assert token_key("x" * 16, tmp_path) == b"x" * 16
    with pytest.raises(SettingInvalid, match="at least 16"):
        token_key("short", tmp_path)


def test_a_directory_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingInvalid, match="cannot be used"):
        token_key(None, tmp_path / "file")
