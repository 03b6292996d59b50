"""The whole thread on a Redis by URL, as Debian ships it: 7.0.15."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from client_sdk import Client
from config_center.access import Actor
from config_center.publishing import Put
from tests.config_center.api.world import center
from tests.redis_server import running
from tests.until import until

BINARY = shutil.which("redis-server")
ADMIN = Actor("test", "admin")

pytestmark = pytest.mark.redis_server


async def test_publish_canary_promote_and_rollback_reach_a_client_over_redis(
    tmp_path: Path,
) -> None:
    with running(BINARY) as server:
        async with center(tmp_path / "data", redis=server.url) as opened:
            trust = str(tmp_path / "data" / "trust.json")
            async with Client.connect(
                server.url, instance="gw-1", state=tmp_path / "gw-1", trust=trust, timeout=30.0
            ) as client:
                unit = client.unit("24:6f:28:a0:00:01")
                service = opened.service

                async def put(value: str, **how: object) -> None:
                    await service.put("default", "prompt", Put(value=value, **how), ADMIN)

                await put("one")
                await until(lambda: client.get("prompt", None) == "one")
                await put("two", rollout={"percent": 100, "unit": "device"})
                await until(lambda: unit.get("prompt") == "two")
                assert client.get("prompt") == "one"
                (ident,) = [
                    each["id"] for each in service.rollouts.listed("default", 10, None)["items"]
                ]
                await service.rollouts.move("default", ident, "promote", {}, ADMIN)
                await until(lambda: client.get("prompt") == "two")
                await service.rollback("default", "prompt", None, ADMIN)
                await until(lambda: client.get("prompt") == "one")

                before = client.status().position
                await asyncio.to_thread(server.restart)
                await until(lambda: client.status().position.e > before.e)
                assert client.get("prompt") == "one"
                assert client.status().transport == "redis"
