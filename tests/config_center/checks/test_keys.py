"""What loading the keys said."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from config_center.checks.base import Facts, Level
from config_center.checks.keys import judge
from config_center.keys import SECRETS, load, load_or_create


def test_whole_keys_are_fine_and_a_new_directory_has_none_yet() -> None:
    (check,) = judge(Facts(keys=""))

    assert check.level is Level.OK
    assert list(judge(Facts())) == []


def test_the_loaders_refusal_is_cut_into_what_is_and_what_to_do(tmp_path: Path) -> None:
    load_or_create(tmp_path, bytes)
    (tmp_path / SECRETS).chmod(0o644)
    with pytest.raises(SettingInvalid) as open_to_others:
        load(tmp_path)
    (tmp_path / SECRETS).unlink()
    with pytest.raises(SettingInvalid) as missing:
        load(tmp_path)

    (first,) = judge(Facts(keys=str(open_to_others.value)))
    (second,) = judge(Facts(keys=str(missing.value)))

    assert first.mend == f"chmod 600 {tmp_path / SECRETS}"
    assert second.mend.startswith("restore it from a backup")
    assert second.sentence == f"{tmp_path / SECRETS} is missing although this center has run before"
