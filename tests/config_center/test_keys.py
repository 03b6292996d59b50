import random
import secrets
import shutil
import stat

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.signing import TrustList, Verifier
from config_center import keys
from config_center.keys import KeyFiles, load, load_or_create

FILES = {"root.key": 0o600, "signing.key": 0o600, "secrets.key": 0o600, "trust.json": 0o644}


def make(path, seed=0):
    path.mkdir(exist_ok=True)
    return load_or_create(path, random.Random(seed).randbytes)


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_the_first_start_makes_the_keys_with_their_modes(tmp_path):
    keys = make(tmp_path)

    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == FILES
    assert keys.trust == TrustList.parse((tmp_path / "trust.json").read_bytes())
    assert (keys.trust.version, keys.trust.root) == (1, keys.root.public)


def test_clients_that_have_the_list_believe_what_the_center_signs(tmp_path):
    keys = make(tmp_path)

    signature = keys.signing.sign(b"prefix", b"message")

    assert Verifier(keys.trust).verify(keys.signing.kid, b"prefix", b"message", signature)


def test_a_later_start_changes_nothing(tmp_path):
    first, files = make(tmp_path, 1), contents(tmp_path)
    second = make(tmp_path, 2)

    assert contents(tmp_path) == files
    assert (second.signing.kid, second.keks, second.trust) == (
        first.signing.kid,
        first.keks,
        first.trust,
    )


@pytest.mark.parametrize("written", range(4))
def test_a_first_start_that_was_cut_short_is_continued(tmp_path, written):
    whole = make(tmp_path / "whole")
    cut = tmp_path / "cut"
    cut.mkdir()
    for name in ("root.key", "signing.key", "secrets.key")[:written]:
        shutil.copy(tmp_path / "whole" / name, cut)
    keys = make(cut, 7)

    kept = [
        keys.root.kid == whole.root.kid,
        keys.signing.kid == whole.signing.kid,
        keys.keks == whole.keks,
    ]
    assert kept == [written > 0, written > 1, written > 2]
    assert set(contents(cut)) == set(FILES)


def test_the_root_key_may_be_taken_away(tmp_path):
    make(tmp_path)
    (tmp_path / "root.key").unlink()

    assert make(tmp_path).root is None


@pytest.mark.parametrize("name", ["signing.key", "secrets.key"])
def test_a_lost_key_is_not_made_again(tmp_path, name):
    make(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(SettingInvalid, match=f"{name} is missing although this center has run"):
        make(tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["root.key", "signing.key", "secrets.key"])
def test_a_key_open_to_others_is_refused_with_the_command(tmp_path, name):
    make(tmp_path)
    (tmp_path / name).chmod(0o644)

    with pytest.raises(SettingInvalid, match=f"chmod 600 {tmp_path / name}"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("root.key", "is not the root ed25519:"), ("signing.key", "is not in the")],
)
def test_a_key_of_another_center_is_refused(tmp_path, name, message):
    make(tmp_path / "a", 1)
    make(tmp_path / "b", 2)
    shutil.copy(tmp_path / "b" / name, tmp_path / "a" / name)

    with pytest.raises(SettingInvalid, match=f"{name}.* {message}"):
        load(tmp_path / "a")


@pytest.mark.parametrize("damage", ["", "x", "a b", "é é", "0000000000000000 AAAA"])
def test_a_damaged_key_is_refused_and_never_shown(tmp_path, damage):
    make(tmp_path)
    (tmp_path / "signing.key").write_text(damage)

    with pytest.raises(SettingInvalid, match=r"signing.key is (damaged|empty)"):
        load(tmp_path)


def test_a_key_under_another_name_is_damaged(tmp_path):
    make(tmp_path)
    path = tmp_path / "signing.key"
    path.write_text("0" * 16 + path.read_text()[16:])

    with pytest.raises(SettingInvalid, match=r"signing.key is damaged"):
        load(tmp_path)


def test_an_edited_trust_list_is_refused(tmp_path):
    make(tmp_path)
    path = tmp_path / "trust.json"
    path.write_text(path.read_text().replace('version\\":1', 'version\\":2'))

    with pytest.raises(SettingInvalid, match=r"not signed by its root.*restore it from a backup"):
        load(tmp_path)


def test_a_successor_that_is_promoted_while_somebody_asks_is_none(tmp_path, monkeypatch):
    files = KeyFiles(tmp_path)
    files.make_successor(secrets.token_bytes)

    def promoted_meanwhile(path):
        path.unlink()
        raise SettingInvalid(f"{path} cannot be read")

    monkeypatch.setattr(keys, "_load_key", promoted_meanwhile)

    assert files.successor() is None
