"""Everything that `make run` starts, in and beside this process."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from config_center.cli.ports import require_free
from config_center.cli.up import Fleet
from config_center.settings import Listen, load

WITHIN = 40.0


async def test_a_whole_fleet_comes_up_says_where_and_ends_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load({"listen": "127.0.0.1:0", "data": tmp_path / "data"}, environment={}).settings
    said = ""
    fleet = asyncio.create_task(Fleet(settings, Listen("127.0.0.1", 0), 2).run())
    async with asyncio.timeout(WITHIN):
        while "try" not in said:
            assert not fleet.done()
            said += capsys.readouterr().out
            await asyncio.to_thread(lambda: None)
    signal.raise_signal(signal.SIGINT)
    await asyncio.wait_for(fleet, WITHIN)

    page, devices, tried, more = said.splitlines()[:4]
    assert page.startswith("page     http://127.0.0.1:")
    assert "#token=cc_" in page
    assert devices.startswith("devices  http://127.0.0.1:")
    assert "put prompt --text 'You are a pirate.' --percent 10" in tried
    assert "rollout promote prompt" in more
    assert (tmp_path / "data" / "admin.token").is_file()


def test_a_port_in_use_is_said_with_its_owner_and_another_to_take() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SettingInvalid, match=f"port {port} is in use by pid .*: make run"):
            require_free(Listen("127.0.0.1", port), "GATEWAY")

    require_free(Listen("127.0.0.1", 0), "GATEWAY")
    require_free(Listen("127.0.0.1", port), "GATEWAY")
