import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek, Keks, open_source

KEK = Kek.from_secret(b"a" * 32)


def test_keys_in_a_setting_are_read_and_never_shown():
    source = open_source("text", KEK.line, "CONFIG_CENTER_SECRET_KEY")

    assert source.read() == Keks((KEK,))
    assert KEK.line.partition(" ")[2] not in repr(source)


def test_a_setting_without_a_key_is_refused_without_showing_it():
    source = open_source("text", "hunter2", "CONFIG_CENTER_SECRET_KEY")

    with pytest.raises(SettingInvalid, match="CONFIG_CENTER_SECRET_KEY does not hold") as refused:
        source.read()
    assert "hunter2" not in str(refused.value)


def test_a_center_does_not_write_to_it():
    with pytest.raises(SettingInvalid, match="change them there"):
        open_source("text", KEK.line, "X").save(Keks((KEK,)))
