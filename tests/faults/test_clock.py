"""F24: a client whose clock is a year away serves what it has, and does not call it fresh."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from config_center.access import Actor
from config_center.publishing import Put
from tests.config_center.api.world import center

CLIENT = """
import asyncio, json, sys, time
from client_sdk import Client
from client_sdk.steps import Timing

async def main(url, token, state):
    timing = Timing(silence=0.3, pong=2.0, skew=1.0)
    begun = time.monotonic()
    async with Client.connect(url, instance="gw", token=token, state=state, timeout=20.0,
                              timing=timing) as client:
        replica = client._following.driver.replica
        while not replica.newest_beat and not client.status().stale:
            await asyncio.sleep(0.05)
        heard = replica.newest_beat > 0
        print(json.dumps([client.get("k"), heard, time.monotonic() - begun]))

asyncio.run(main(*sys.argv[1:]))
"""


async def client(url: str, token: str, state: Path, clock: str) -> Any:
    """
    What a client with this clock says once it believes a beat, or is stale: value, whether it
    believed one, seconds that passed.
    """
    faked = ("faketime", "-f", clock) if clock else ()
    process = await asyncio.create_subprocess_exec(
        *faked, sys.executable, "-c", CLIENT, url, token, str(state),
        env={**os.environ, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return json.loads(out)


@pytest.mark.parametrize(("clock", "fresh"), [("", True), ("+400d", False), ("-400d", False)])
async def test_a_clock_that_is_far_away_makes_a_client_stale_and_nothing_else(
    tmp_path: Path, clock: str, fresh: bool
) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("no faketime on PATH (apt-get install faketime)")
    async with center(tmp_path / "data") as opened:
        await opened.service.put("default", "k", Put(value="v"), Actor("test", "admin"))
        told = await client(opened.url, opened.admin_token, tmp_path / "state", clock)

    assert told[:2] == ["v", fresh]
    assert fresh or 1.9 < told[2] < 60.0  # it serves for a while, and its timers go on
