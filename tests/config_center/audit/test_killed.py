"""kill -9 of a real center in publishes: whatever was acknowledged has an entry afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from client_sdk.signing import TrustList, Verifier
from config_center.audit.pages import examine
from tests.center_process import CenterProcess, center_process

NS = "/v1/namespaces/default"


class Publishers:
    """Eight at once, until the center does not answer any more; ``acknowledged``: change ids."""

    def __init__(self, center: CenterProcess) -> None:
        self._center = center
        self.acknowledged: list[str] = []
        self.enough = asyncio.Event()

    async def run(self, wanted: int) -> None:
        headers = {"Authorization": f"Bearer {self._center.token}"}
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(self._publish(session, number, wanted))

    async def _publish(self, session: aiohttp.ClientSession, number: int, wanted: int) -> None:
        url = f"{self._center.url}{NS}/keys/k{number}"
        with contextlib.suppress(aiohttp.ClientError):
            for value in range(10_000):
                async with session.put(url, json={"value": value, "comment": "why"}) as answer:
                    plain = await answer.json()
                    assert answer.status == 200, plain
                    self.acknowledged.append(plain["change"])
                if len(self.acknowledged) >= wanted:
                    self.enough.set()


async def entries_of(center: CenterProcess) -> list[dict[str, Any]]:
    """The whole audit, which has to prove itself with the trust list alone."""
    headers = {"Authorization": f"Bearer {center.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{center.url}/v1/audit?format=ndjson") as answer,
    ):
        lines = (await answer.read()).splitlines(keepends=True)
    verifier = Verifier(TrustList.parse((center.data / "trust.json").read_bytes()))
    found = examine(lines, verifier)
    assert found.broken == ""
    return [orjson.loads(line)["entry"] for line in lines[1:-1]]


def changes_in(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["change"] for entry in entries if entry.get("change")]


async def publish_and_kill(center: CenterProcess, wanted: int) -> list[str]:
    publishers = Publishers(center)
    publishing = asyncio.create_task(publishers.run(wanted))
    await publishers.enough.wait()
    await center.kill()
    await publishing
    return publishers.acknowledged


@pytest.mark.timeout(120)
async def test_every_acknowledged_change_has_an_entry_after_kill_9(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    acknowledged: list[str] = []
    async with center_process(tmp_path / "data") as center:
        acknowledged += await publish_and_kill(center, rng.randint(50, 200))
        await center.start()
        entries = await entries_of(center)
    told = changes_in(entries)
    found = [entry for entry in entries if entry["event"] == "found"]
    print(f"seed {seed}: {len(acknowledged)} acknowledged, {len(told)} told, {len(found)} found")

    assert set(acknowledged) <= set(told)
    assert len(told) == len(set(told))
    assert [entry["event"] for entry in entries].count("started") == 2
