"""What a real server says of itself, and what its user may not send."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.exceptions import RedisError

from config_center.cli.acl import center_line
from config_center.store.fitness import RIGHTS, look
from tests.redis_server import running

OPTIONS = {"socket_timeout": 30.0, "socket_connect_timeout": 30.0, "protocol": 2}


async def test_a_server_tells_version_settings_memory_and_time() -> None:
    with running(None, "--maxmemory", "100mb") as server:
        facts = await look(server.url, OPTIONS, publish="PUBLISH")
        raw = redis.Redis.from_url(server.url)
        keys = await raw.keys("*")  # everything was tried, nothing was done
        await raw.aclose()

    assert keys == []
    assert facts.product == "Valkey"
    assert facts.version >= (9, 0, 0)
    assert facts.config is not None
    assert facts.config["appendfsync"] == "always"
    assert facts.config["maxmemory"] == str(100 << 20)
    assert facts.config["min-replicas-to-write"] == "0"
    assert facts.used_bytes > 0
    assert facts.clock_apart is not None
    assert abs(facts.clock_apart) < 30.0  # an answer may take its time
    assert (facts.replicas, facts.denied) == (0, ())


async def test_a_user_without_rights_is_told_each_of_them_and_nothing_is_done(
    tmp_path: Path,
) -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        denied = "-config|get -xadd -publish -time"
        await raw.execute_command(*f"ACL SETUSER weak on >secret ~* &* +@all {denied}".split())
        facts = await look(
            server.url.replace("unix://", "unix://weak:secret@"), OPTIONS, publish="PUBLISH"
        )
        keys = await raw.keys("*")
        await raw.aclose()

    assert facts.denied == ("config|get", "time", "publish", "xadd")
    assert (facts.config, facts.clock_apart) == (None, None)
    assert keys == []


async def test_a_user_without_the_keys_or_the_channel_may_nothing_with_them() -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        await raw.execute_command(
            "ACL", "SETUSER", "weak", "on", ">secret", "~other:*", "resetchannels", "+@all"
        )
        facts = await look(
            server.url.replace("unix://", "unix://weak:secret@"), OPTIONS, publish="PUBLISH"
        )
        await raw.aclose()

    without_keys = {"info", "config|get", "time", "wait", "script|load", "scan"}
    assert set(facts.denied or ()) == RIGHTS.keys() - without_keys - {"spublish"}


async def test_a_user_who_may_not_even_ask_is_told_so() -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        await raw.execute_command(
            "ACL", "SETUSER", "weak", "on", ">secret", "~*", "&*", "+@all", "-multi"
        )
        facts = await look(
            server.url.replace("unix://", "unix://weak:secret@"), OPTIONS, publish="PUBLISH"
        )
        await raw.aclose()

    assert facts.denied == ("multi",)


async def test_a_server_that_is_away_is_an_error() -> None:
    with pytest.raises(RedisError):
        await look("unix:///nowhere.sock", OPTIONS, publish="PUBLISH")


def test_every_command_that_a_center_is_allowed_is_tried() -> None:
    allowed = {word[1:] for word in center_line().split() if word.startswith("+")}
    greeting = {"ping", "hello", "auth", "select", "client|setinfo", "client|setname"}

    assert allowed - greeting - {"multi", "exec", "discard"} == RIGHTS.keys()
