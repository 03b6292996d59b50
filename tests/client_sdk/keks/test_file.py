import stat

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek, Keks, open_source

KEKS = Keks((Kek.from_secret(b"a" * 32), Kek.from_secret(b"b" * 32)))


def source(path):
    return open_source("file", str(path), "secret_key_file")


def test_keys_come_back_from_a_file_that_is_private(tmp_path):
    path = tmp_path / "secrets.key"
    source(path).save(KEKS)

    assert source(path).read() == KEKS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert source(path).hurried(0.1) == source(path)
    assert source(path).where == f"the file {path}"


def test_a_key_file_open_to_others_is_refused(tmp_path):
    path = tmp_path / "secrets.key"
    source(path).save(KEKS)
    path.chmod(0o644)

    with pytest.raises(SettingInvalid, match=r"the key-encryption key .* chmod 600"):
        source(path).read()


@pytest.mark.parametrize(
    "damage", [lambda t: t[:-6], lambda t: "0" + t, lambda t: "x y", lambda t: "x é"]
)
def test_a_damaged_key_file_is_refused(tmp_path, damage):
    path = tmp_path / "secrets.key"
    source(path).save(KEKS)
    path.write_text(damage(path.read_text()))

    with pytest.raises(SettingInvalid, match="is damaged; restore it from a backup"):
        source(path).read()


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(SettingInvalid, match=r"cannot be written \(No such file"):
        source(tmp_path / "nowhere" / "secrets.key").save(KEKS)
