"""A gateway that ran before starts when everything it depends on is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.center_process import center_process
from tests.until import until

WITHIN = 30.0


class GatewayProcess:
    """``device-gateway run`` with its state below ``home``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ota = self.admin = ""

    async def listening(self) -> None:
        """Until it printed where it listens."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN):
            while not self.admin:
                line = (await self._process.stdout.readline()).decode()
                assert line, "it ended before it said where it listens"
                word, _, url = line.partition(" ")
                self.ota = url.strip() if word == "devices" else self.ota
                self.admin = url.strip() if word == "admin" else self.admin

    async def metrics(self) -> dict[str, float]:
        async with aiohttp.ClientSession() as session, session.get(self.admin + "/metrics") as got:
            lines = (await got.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


@contextlib.asynccontextmanager
async def gateway(home: Path, center: str, token: str) -> AsyncIterator[GatewayProcess]:
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(home / "state"),
        "CONFIG_CENTER_TOKEN": token,
    }
    where = ("--center", center, "--instance", "gw-1", "--listen", "127.0.0.1:0")
    with (home / "gateway.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "device_gateway", "run", *where),
            *("--admin-listen", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    made = GatewayProcess(process)
    try:
        await made.listening()
        yield made
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), WITHIN)


async def publish(url: str, token: str, key: str, value: object) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.put(f"{url}/v1/namespaces/default/keys/{key}", json={"value": value}) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_a_gateway_starts_from_its_snapshot_and_says_stale(tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        url, token = center.url, center.token
        await publish(url, token, "prompt", "You are brief.")
        async with gateway(tmp_path, url, token) as running:
            await publish(url, token, "prompt", "You are kind.")
            home = tmp_path / "state" / "config-center" / "default" / "gw-1"
            kept = home / "generation-1.tail"
            await until(lambda: kept.is_file() and b"kind" in kept.read_bytes(), WITHIN)
            assert (await running.metrics())["config_client_stale"] == 0.0

    began = time.monotonic()
    async with gateway(tmp_path, url, token) as cold:
        took = time.monotonic() - began
        found = await cold.metrics()
    print(f"listening {took:.2f} s after the process was started, with nothing there")

    assert found["config_client_stale"] == 1.0
    assert found["config_client_revision"] >= 3


async def test_a_newest_snapshot_that_is_corrupt_is_set_aside(tmp_path: Path) -> None:
    home = tmp_path / "state" / "config-center" / "default" / "gw-1"
    async with center_process(tmp_path / "data") as center:
        url, token = center.url, center.token
        await publish(url, token, "prompt", "You are brief.")
        async with gateway(tmp_path, url, token):
            pass
        tail = home / "generation-1.tail"
        tail.write_bytes(b"torn")
        async with gateway(tmp_path, url, token):
            await publish(url, token, "prompt", "You are kind.")
            await until(lambda: (home / "generation-2.base").exists(), WITHIN)
    (home / "generation-2.base").write_bytes(b"\0" * 100)

    async with gateway(tmp_path, url, token) as cold:
        found = await cold.metrics()

    assert found["config_client_stale"] == 1.0
    assert found["config_client_revision"] >= 2
    assert "was set aside" in (tmp_path / "gateway.log").read_text()
    assert list(home.glob("*.corrupt-2"))
