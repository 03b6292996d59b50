"""Who may come in, from the command line: over a real center, and a real gateway for the codes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.center_process import CenterProcess, center_process

ROOT = Path(__file__).parents[3]
DEVICE = "24:6f:28:a0:00:01"


class World:
    """A center, and its command line."""

    def __init__(self, center: CenterProcess, home: Path) -> None:
        self.center = center
        self.home = home

    @property
    def environment(self) -> dict[str, str]:
        token = {"CONFIG_CENTER_TOKEN": self.center.token, "CONFIG_CENTER_URL": self.center.url}
        state = {"XDG_STATE_HOME": str(self.home / "state"), "PYTHONUNBUFFERED": "1"}
        return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **token, **state}

    async def devices(self, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "config_center", "devices", *words),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return int(process.returncode or 0), said.decode()

    async def http(self, method: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.center.token}"}
        url = self.center.url + "/v1/namespaces/default/keys/gateway"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            return await answer.json()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with center_process(tmp_path / "data") as center:
        yield World(center, tmp_path)


async def test_an_address_goes_on_the_list_and_off_again_and_the_rest_stays(world: World) -> None:
    assert await world.devices("admit", DEVICE.upper()) == (0, f"{DEVICE}: admitted\n")
    limits = {"limits": {"sessions": 7}, **(await world.http("GET"))["value"]}
    await world.http("PUT", {"value": limits})
    assert await world.devices("admit", "aa:*") == (0, "aa:*: admitted\n")

    assert (await world.http("GET"))["value"] == {
        "limits": {"sessions": 7},
        "devices": {"list": [DEVICE, "aa:*"]},
    }
    assert await world.devices("refuse", DEVICE) == (0, f"{DEVICE}: off the list\n")
    found = await world.http("GET")
    assert found["value"]["devices"] == {"list": ["aa:*"]}
    assert found["comment"] == f"{DEVICE}: off the list"


@pytest.mark.parametrize(
    ("value", "words", "said"),
    [
        ({"devices": {"admit": "all"}}, ("admit", DEVICE), "everybody is let in already"),
        ({"devices": {"list": [DEVICE]}}, ("admit", DEVICE), "is on the list already"),
        ({"devices": {"list": []}}, ("refuse", DEVICE), "is not on the list"),
        ({}, ("admit", "123456", "--gateway", "http://127.0.0.1:1"), "no gateway answers at"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(
    world: World, value: dict[str, Any], words: tuple[str, ...], said: str
) -> None:
    await world.http("PUT", {"value": value})

    status, line = await world.devices(*words)

    assert status == 1
    assert line.startswith("error: ")
    assert said in line
    assert line.count("\n") == 1


async def test_a_value_in_another_format_is_left_to_its_author(world: World) -> None:
    await world.http("PUT", {"value": "devices: {list: []}  # ours", "format": "yaml"})

    status, line = await world.devices("admit", DEVICE)

    assert (status, line) == (1, "error: gateway is written in yaml: edit its list by hand\n")


async def test_the_code_that_a_device_shows_lets_it_in(world: World) -> None:
    await world.http("PUT", {"value": {"devices": {"admit": "listed", "list": []}}})
    gateway = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "device_gateway", "run", "--instance", "gw"),
        *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
        env={**world.environment, "DEVICE_GATEWAY_DATA": str(world.home / "gw")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert gateway.stdout is not None
        async with asyncio.timeout(30):
            ota = (await gateway.stdout.readline()).decode().split()[1]
            operators = (await gateway.stdout.readline()).decode().split()[1]
        code = (await _boot(ota))["activation"]["code"]

        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        status, line = await world.devices("admit", wrong, "--gateway", operators)
        assert (status, "waits with the code" in line) == (1, True)
        admitted = await world.devices("admit", code, "--gateway", operators)

        assert admitted == (0, f"{DEVICE}: admitted\n")
        async with asyncio.timeout(30):
            while "websocket" not in await _boot(ota):
                pass
    finally:
        gateway.terminate()
        await gateway.communicate()


async def _boot(ota: str) -> dict[str, Any]:
    """What a device is told when it boots."""
    headers = {"Device-Id": DEVICE, "Client-Id": "a-client"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(ota, headers=headers, json={}) as answer,
    ):
        return dict(await answer.json())
