"""The printed users, tried on a real server: they can do their work, and nothing beside it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.exceptions import NoPermissionError
from typer.testing import CliRunner

from client_sdk import Client
from config_center.__main__ import app
from config_center.store.base import Retention
from config_center.store.trimming import trim
from tests.clusters import clustered
from tests.config_center.api.world import NS, http
from tests.config_center.test_reports import instance as token_of
from tests.redis_server import running
from tests.until import until


async def allow(raw: redis.Redis, *words: str) -> None:
    """Carry out what the verb prints."""
    done = CliRunner().invoke(app, ["acl", *words])
    assert done.exit_code == 0
    line = done.stdout.strip().replace(">PASSWORD", ">hunter2")
    await raw.execute_command(*line.split(" "))


async def test_a_center_and_a_client_work_as_the_users_that_are_printed(tmp_path: Path) -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        await allow(raw)
        await allow(raw, "--instance", "gw-1")
        center_url = server.url.replace("unix://", "unix://config-center:hunter2@")
        client_url = server.url.replace("unix://", "unix://config-gw-1:hunter2@")
        async with http(tmp_path / "data", redis=center_url) as call:
            await call("PUT", f"{NS}/keys/big", {"value": "x" * 20_000})
            await call("PUT", "/v1/namespaces/team")
            token = await token_of(call, "gw-1")
            trust = str(tmp_path / "data" / "trust.json")
            async with Client.connect(
                client_url, instance="gw-1", state=tmp_path / "gw", trust=trust, token=token,
                timeout=30.0,
            ) as client:  # fmt: skip
                await call("PUT", f"{NS}/keys/k", {"value": 1})
                await until(lambda: client.get("k", None) == 1)
                assert len(client.get("big")) == 20_000
                fleet = call.center.service.instances
                await until(lambda: fleet("default", 10, None)["items"])
                store = call.center.registry.store
                await store.remove_bodies("default", list(await store.idle_bodies("default")), 3600)
                own = redis.Redis.from_url(center_url)
                for keep in (Retention(records=1, seconds=-1), Retention(max_bytes=1)):
                    await trim(own, "cc:{default}:log", keep, time.time_ns() // 1_000_000)
                await own.aclose()
                await raw.flushall()
                default = call.center.registry.get("default")
                await until(lambda: default.mode.value == "store-empty")
                status, _, _ = await call("POST", f"{NS}/restore", {"from": "journal"})
                assert status == 200
            denied = await raw.execute_command("ACL", "LOG")
        await raw.aclose()

    assert denied == []


async def test_the_users_that_are_printed_do_on_a_cluster(tmp_path: Path) -> None:
    async with clustered() as cluster:
        for node in cluster.nodes:
            await allow(node.raw)
            await allow(node.raw, "--instance", "gw-1")
        center_url = cluster.url.replace("://", "://config-center:hunter2@")
        client_url = cluster.url.replace("://", "://config-gw-1:hunter2@")
        async with http(tmp_path / "data", redis=center_url) as call:
            trust = str(tmp_path / "data" / "trust.json")
            async with Client.connect(
                client_url, instance="gw-1", state=tmp_path / "gw", trust=trust, timeout=30.0
            ) as client:
                await call("PUT", f"{NS}/keys/k", {"value": 1})
                await until(lambda: client.get("k", None) == 1)
        denied = [await node.raw.execute_command("ACL", "LOG") for node in cluster.nodes]

    assert denied == [[], [], []]


@pytest.mark.parametrize(
    "words",
    [
        ("--instance", "gw-1 ~* +@all"),
        ("--instance", "*"),
        ("--instance", ""),
        ("--instance", "gw-1", "--namespace", "default}:* ~*"),
    ],
)
def test_a_name_that_would_widen_the_user_is_refused(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["acl", *words])

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {'the instance name ' * (len(words) == 2)}'")


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "cc:{default}:head", "evil"),
        ("HSET", "cc:{default}:cur", "k", "evil"),
        ("PUBLISH", "cc:{default}:events", "evil"),
        ("XADD", "cc:{default}:rep:gw-2", "*", "r", "evil"),
        ("EVAL", "return 1", "0"),
        ("KEYS", "*"),
        ("HGETALL", "cc:{_system}:cur"),
        ("SUBSCRIBE", "cc:{_system}:events"),
        ("SPUBLISH", "cc:{default}:events", "evil"),
        ("SSUBSCRIBE", "cc:{_system}:events"),
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
    ],
    ids=lambda command: command[0],
)
async def test_a_client_can_do_nothing_beside_its_work(command: tuple[str, ...]) -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        await allow(raw, "--instance", "gw-1")
        await raw.aclose()
        client = redis.Redis.from_url(server.url.replace("unix://", "unix://config-gw-1:hunter2@"))
        with pytest.raises(NoPermissionError):
            await client.execute_command(*command)
        await client.aclose()
