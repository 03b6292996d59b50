"""The verb, at a center that runs and at a machine where none does."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config_center.__main__ import app
from tests.center_process import center_process
from tests.redis_server import running

NOWHERE = {"CONFIG_CENTER_URL": "http://127.0.0.1:1", "CONFIG_CENTER_TOKEN": "cc_" + "A" * 43}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_center_that_runs_is_asked_and_is_fit(tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        env = {"CONFIG_CENTER_URL": center.url, "CONFIG_CENTER_TOKEN": center.token}
        plain = await asyncio.to_thread(CliRunner().invoke, app, ["doctor"], env=env)
        data = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--json"], env=env)
        wrong = {**env, "CONFIG_CENTER_TOKEN": NOWHERE["CONFIG_CENTER_TOKEN"]}
        refused = await asyncio.to_thread(CliRunner().invoke, app, ["doctor"], env=wrong)

    assert plain.exit_code == 0, plain.output
    assert "namespaces  1 of 1 take changes" in plain.output
    assert json.loads(data.stdout)["fit"] is True
    assert refused.exit_code == 1
    assert "this token (CONFIG_CENTER_TOKEN) is not known" in refused.stderr


def test_where_no_center_runs_the_machine_is_looked_at(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor"], env=NOWHERE)

    assert done.exit_code == 0, done.output
    assert "no center answers at http://127.0.0.1:1" in done.stderr
    assert "there is no data directory yet" in done.stdout


def test_a_center_elsewhere_that_is_away_is_an_error() -> None:
    env = {**NOWHERE, "CONFIG_CENTER_URL": "http://10.255.255.1.invalid:1"}

    done = CliRunner().invoke(app, ["doctor"], env=env)

    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be reached" in done.stderr


def test_an_unfit_store_is_status_1_and_says_what_to_type() -> None:
    with running(None, "--appendfsync", "everysec") as server:
        done = CliRunner().invoke(app, ["doctor", "--redis", server.url])
        data = CliRunner().invoke(app, ["doctor", "--redis", server.url, "--json"])

    assert done.exit_code == 1
    assert "fail  durability  appendfsync is everysec" in done.output
    assert "-> CONFIG SET appendfsync always" in done.output
    assert (data.exit_code, json.loads(data.stdout)["fit"]) == (1, False)


def test_a_directory_that_others_may_write_to_is_told(tmp_path: Path) -> None:
    data = tmp_path / "open"
    data.mkdir()
    data.chmod(0o777)

    done = CliRunner().invoke(app, ["doctor", "--data", str(data)])

    assert done.exit_code == 1
    assert f"-> chmod 700 {data}" in done.output
    assert os.listdir(data) == []  # looking leaves nothing
