"""Where the command line looks for a center, and what it says of a refusal."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.records import Position
from client_sdk.settings import ClientSettings
from config_center.access import authenticate
from config_center.api.watch import _backlog
from config_center.cli.remote import Remote, at_the_shell
from config_center.ledger.ledger import Ledger
from config_center.problems import Problem
from config_center.rollouts.plan import Move, plan_move, supersede
from tests.config_center.rollouts.test_plan import state

SETTINGS = {"XDG_STATE_HOME": "/state"}


def remote(**environment: str) -> Remote:
    return Remote(ClientSettings.from_environment({**SETTINGS, **environment}))


def said_here(home: Path, text: str, mode: int = 0o600) -> None:
    (home / "data").mkdir()
    path = home / "data" / "center.url"
    path.write_text(text)
    path.chmod(mode)


def test_the_center_whose_data_lies_here_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert remote().url == "http://127.0.0.1:8848"
    said_here(tmp_path, "http://127.0.0.1:18480\n")

    assert remote().url == "http://127.0.0.1:18480"
    assert remote(CONFIG_CENTER_URL="http://10.0.0.1:8848").url == "http://10.0.0.1:8848"


def test_a_directory_cannot_send_a_token_to_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said_here(tmp_path, "http://10.6.6.6:80")

    assert remote(CONFIG_CENTER_TOKEN="cc_" + "A" * 43).url == "http://127.0.0.1:8848"


def test_an_empty_token_does_not_make_the_admin_of_whoever_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`CONFIG_CENTER_TOKEN=$(command that failed)` was answered with everything he may do."""
    monkeypatch.chdir(tmp_path)
    said_here(tmp_path, "http://127.0.0.1:18480")
    (tmp_path / "data" / "admin.token").write_text("cc_admin")
    (tmp_path / "data" / "admin.token").chmod(0o600)
    assert remote()._headers == {"Authorization": "Bearer cc_admin"}

    with pytest.raises(SettingInvalid, match="CONFIG_CENTER_TOKEN is set to nothing"):
        remote(CONFIG_CENTER_TOKEN="")


def test_an_address_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said_here(tmp_path, "http://127.0.0.1:18480", 0o666)

    with pytest.raises(SettingInvalid, match="the address of the center"):
        remote()


async def test_a_watch_that_cannot_go_on_is_told_how_to_begin_anew() -> None:
    ledger = create_autospec(Ledger, instance=True, ns="default", state=state())
    ledger.since.return_value = None  # its history does not reach back

    with pytest.raises(Problem) as refused:
        await _backlog(ledger, Position(1, 2))

    said = at_the_shell(refused.value.detail, "default")
    assert "does not reach back to 1-2; start config-center watch anew" in said
    assert "snapshot" not in said


def test_every_sentence_that_speaks_of_requests_has_its_option() -> None:
    """They are told by the API; were one reworded there, the shell would speak of HTTP again."""
    refusals = [
        lambda: supersede(state(), ["a"], allowed=False),
        lambda: plan_move(state(percent=50), "ro", Move("step", 10)),
        lambda: plan_move(state(percent=25), "ro", Move("step")),
        lambda: authenticate(state(), None, 0),
    ]
    for refuse in refusals:
        with pytest.raises(Problem) as refused:
            refuse()

        detail = refused.value.detail
        assert at_the_shell(detail, "default") != detail
