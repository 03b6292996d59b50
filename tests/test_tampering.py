"""
Whatever is edited by hand in Redis: no client applies it, the center does not build on it and says
so, and it goes on by itself once the store is right again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio as redis

from client_sdk import Client
from client_sdk.image import decode_row, encode_row
from client_sdk.records import MAX_FRAME, Record
from client_sdk.steps import Timing
from client_sdk.transports.keyspace import Keyspace
from config_center.access import Actor, token_key
from config_center.center import Center
from config_center.publishing import Put
from tests.config_center.api.world import center
from tests.history import STRANGER, History, put
from tests.redis_server import running
from tests.until import until

QUICK = Timing(silence=0.3, pong=0.3, check=0.2, report=0.1)
DEFAULT, SYSTEM = Keyspace("default"), Keyspace("_system")
ADMIN = Actor("test", "admin")
LONG = "x" * 20_000
SECRET = {"json_schema": {"type": "string", "writeOnly": True}}


@dataclass
class World:
    """A center on a Redis that others can reach, and a client that reads that Redis."""

    opened: Center
    raw: redis.Redis
    client: Client
    home: Path
    url: str

    async def publish(self, key: str, value: Any, **how: Any) -> Any:
        return await self.opened.service.put("default", key, Put(value=value, **how), ADMIN)

    async def refusal(self) -> str:
        """What publishing says now; empty when it works."""
        headers = {"Authorization": f"Bearer {self.opened.admin_token}"}
        url = f"{self.opened.url}/v1/namespaces/default/keys/after"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.put(url, json={"value": 1}) as response,
        ):
            problem = await response.json()
        return "" if response.status == 200 else problem["type"].rpartition(":")[2]

    async def is_ready(self) -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.opened.url}/readyz") as response,
        ):
            return response.status == 200

    def mode(self, ns: str) -> str:
        return self.opened.registry.get(ns).mode.value

    def newcomer(self, name: str) -> Any:
        trust = str(self.home / "data" / "trust.json")
        return Client.connect(
            self.url, instance=name, state=self.home / name, trust=trust, timeout=1.0,
            timing=QUICK, defaults={"prompt": "packed"},
        )  # fmt: skip


@contextlib.asynccontextmanager
async def world(home: Path) -> AsyncIterator[World]:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        async with center(home / "data", redis=server.url) as opened:
            trust = str(home / "data" / "trust.json")
            async with Client.connect(
                server.url, instance="gw-1", state=home / "gw-1", trust=trust, timeout=30.0,
                timing=QUICK,
            ) as client:  # fmt: skip
                made = World(opened, raw, client, home, server.url)
                await made.publish("prompt", "hello")
                await made.publish("other", "thing")
                await made.publish("long", LONG)
                await opened.service.set_schema("default", "secret", SECRET, ADMIN)
                await made.publish("secret", "sesame")
                await made.publish("canary", "old")
                await made.publish("canary", "new", rollout={"percent": 1, "unit": "device"})
                await until(lambda: client.get("canary", None) == "old")
                await until(
                    lambda: (
                        client.status().position == opened.registry.get("default").state.position
                    )
                )
                yield made
        await raw.aclose()


async def _row(w: World, old: bytes, new: bytes, key: str = "prompt") -> None:
    row = await w.raw.hget(DEFAULT.current, key)
    assert old in row
    await w.raw.hset(DEFAULT.current, key, row.replace(old, new))


async def another_value(w: World) -> None:
    await _row(w, b"hello", b"evil!")


async def an_older_version(w: World) -> None:
    old = await w.raw.hget(DEFAULT.current, "prompt")
    await w.publish("prompt", "newer")
    await until(lambda: w.client.get("prompt") == "newer")
    await w.raw.hset(DEFAULT.current, "prompt", old)


async def the_row_of_another_key(w: World) -> None:
    await w.raw.hset(DEFAULT.current, "prompt", await w.raw.hget(DEFAULT.current, "other"))


async def a_row_nobody_published(w: World) -> None:
    entry = decode_row(await w.raw.hget(DEFAULT.current, "other"))
    await w.raw.hset(DEFAULT.current, "planted", encode_row(replace(entry, key="planted")))


async def a_row_removed(w: World) -> None:
    await w.raw.hdel(DEFAULT.current, "prompt")


async def a_rollout_raised_to_everybody(w: World) -> None:
    entry = decode_row(await w.raw.hget(DEFAULT.current, "canary"))
    raised = replace(entry, rollout=replace(entry.rollout, percent=100))
    await w.raw.hset(DEFAULT.current, "canary", encode_row(raised))


async def somebody_let_into_a_canary(w: World) -> None:
    entry = decode_row(await w.raw.hget(DEFAULT.current, "canary"))
    let_in = replace(entry, rollout=replace(entry.rollout, allow=("24:6f:28:a0:00:01",)))
    await w.raw.hset(DEFAULT.current, "canary", encode_row(let_in))


async def the_head(w: World) -> None:
    rec = await w.raw.hget(DEFAULT.head, "rec")
    await w.raw.hset(DEFAULT.head, "rec", rec.replace(b'"test"', b'"TEST"'))


async def a_line_of_the_log(w: World) -> None:
    rows = await w.raw.xrange(DEFAULT.log)
    await w.raw.delete("copy")
    for name, fields in rows:
        await w.raw.xadd("copy", {"r": fields[b"r"].replace(b"hello", b"evil!")}, id=name)
    await w.raw.copy("copy", DEFAULT.log, replace=True)


async def where_the_head_stands(w: World) -> None:
    await w.raw.hset(DEFAULT.head, "v", "999")


async def a_line_planted_in_the_log(w: World) -> None:
    (_, fields), *_ = await w.raw.xrevrange(DEFAULT.log, count=1)
    await w.raw.xadd(DEFAULT.log, fields, id="1-999")


async def a_line_taken_out_of_the_log(w: World) -> None:
    rows = await w.raw.xrange(DEFAULT.log)
    await w.raw.xdel(DEFAULT.log, rows[-2][0])


async def a_key_of_another_type(w: World) -> None:
    await w.raw.delete(DEFAULT.current)
    await w.raw.set(DEFAULT.current, "evil")


async def bytes_that_are_no_name(w: World) -> None:
    await w.raw.hset(DEFAULT.current, b"\xff\xfe", await w.raw.hget(DEFAULT.current, "other"))


async def a_data_key(w: World) -> None:
    (name,) = set(await w.raw.hkeys(DEFAULT.ring)) - {b"fp"}
    wrapped = await w.raw.hget(DEFAULT.ring, name)
    await w.raw.hset(DEFAULT.ring, name, wrapped[:-4] + b"AAAA")


async def a_large_body(w: World) -> None:
    (name,) = [key async for key in w.raw.scan_iter("cc:{default}:obj:*")]
    await w.raw.set(name, (await w.raw.get(name)).replace(b"xxxx", b"evil"))


async def a_token(w: World) -> None:
    """The hash of a token of one's own in the row of the admin's."""
    name = token_key(w.opened.admin_token)
    row = await w.raw.hget(SYSTEM.current, name)
    mine = "cc_" + "A" * 43
    await w.raw.hset(
        SYSTEM.current, name, row.replace(name[6:].encode(), token_key(mine)[6:].encode())
    )
    await w.raw.hset(SYSTEM.current, token_key(mine), row)


Edit = Callable[[World], Awaitable[None]]
EDITS: list[Edit] = [
    another_value,
    an_older_version,
    the_row_of_another_key,
    a_row_nobody_published,
    a_row_removed,
    a_rollout_raised_to_everybody,
    somebody_let_into_a_canary,
    the_head,
    a_line_of_the_log,
    a_large_body,
    where_the_head_stands,
    a_line_planted_in_the_log,
    a_line_taken_out_of_the_log,
    a_key_of_another_type,
    bytes_that_are_no_name,
    a_data_key,
]


def applied(client: Client) -> dict[str, Any]:
    unit = client.unit("24:6f:28:a0:00:01")
    keys = ("prompt", "other", "long", "canary", "planted")
    return {key: (client.get(key, None), unit.get(key, None)) for key in keys}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
async def test_a_row_edited_by_hand_is_applied_by_nobody_and_said_by_the_center(
    tmp_path: Path, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        backup = None if edit is an_older_version else await _dump(w, DEFAULT)
        await edit(w)
        present, position = applied(w.client), w.client.status().position

        await until(lambda: w.mode("default") == "tampered")

        assert await w.refusal() == "tampered"
        assert not await w.is_ready()
        assert any("namespace default" in r.message for r in caplog.records if r.levelno >= 40)
        async with w.newcomer("late") as late:
            found = late.get("prompt")
            assert found == "packed" or (found, late.get("canary")) == ("hello", "old")
            assert "evil" not in str(applied(late))
        assert (applied(w.client), w.client.status().position) == (present, position)
        if backup is not None:
            await _restore(w, DEFAULT, backup)
            await until(lambda: w.mode("default") == "ready")
            assert await w.refusal() == ""


async def test_a_client_that_reads_a_damaged_store_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await another_value(w)

        async with w.newcomer("late") as late:
            await until(lambda: late.status().tampered)

            assert late.metrics()["config_client_tampered_total"] >= 1
            assert late.get("prompt") == "packed"


@pytest.mark.parametrize(
    "edit", [a_rollout_raised_to_everybody, a_row_nobody_published, a_row_removed]
)
async def test_a_client_that_comes_back_to_a_damaged_store_keeps_what_it_had(
    tmp_path: Path, edit: Edit
) -> None:
    """It knows the namespace, so only the digest in the signed head stands between."""
    async with world(tmp_path) as w:
        async with w.newcomer("gw-2") as client:
            await until(lambda: client.get("prompt") == "hello")
            before = applied(client)
        await w.publish("other", "while it was away")
        await w.raw.xtrim(DEFAULT.log, maxlen=0)
        await edit(w)

        async with w.newcomer("gw-2") as client:
            await until(lambda: client.status().tampered)

            assert applied(client) == before


async def test_a_token_edited_by_hand_opens_nothing_and_is_said(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await a_token(w)
        mine = {"Authorization": "Bearer cc_" + "A" * 43}

        await until(lambda: w.mode("_system") == "tampered")

        async with (
            aiohttp.ClientSession(headers=mine) as session,
            session.get(f"{w.opened.url}/v1/whoami") as response,
        ):
            assert response.status == 401


async def test_a38_a_message_beyond_its_bound_is_dropped_unread_and_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        before = w.client.metrics()["config_client_dropped_total"]
        good = History("default", STRANGER).add(put("prompt", "evil")).encode()

        for huge in (b"CC1R" + bytes(MAX_FRAME), good + bytes(MAX_FRAME)):
            await w.raw.publish(DEFAULT.events, huge)
        await until(lambda: w.client.metrics()["config_client_dropped_total"] >= before + 2)
        await w.publish("prompt", "goes on")
        await until(lambda: w.client.get("prompt") == "goes on")


async def test_a30_a_forged_record_on_the_channel_is_dropped_and_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        present, before = applied(w.client), w.client.metrics()["config_client_dropped_total"]
        forged = History("default", STRANGER)
        record = forged.add(put("prompt", "evil"))

        await w.raw.publish(DEFAULT.events, record.encode())
        await w.raw.publish(DEFAULT.events, b"\x00noise")
        await until(lambda: w.client.metrics()["config_client_dropped_total"] >= before + 2)
        await w.publish("prompt", "goes on")
        await until(lambda: w.client.get("prompt") == "goes on")

        assert {**applied(w.client), "prompt": None} == {**present, "prompt": None}


async def test_an_old_record_and_an_old_beat_played_again_change_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        listening = w.raw.pubsub()
        await listening.subscribe(DEFAULT.events)
        heard: list[bytes] = []
        while len(heard) < 3:
            message = await listening.get_message(ignore_subscribe_messages=True, timeout=10.0)
            heard += [message["data"]] if message else []
        rows = await w.raw.xrange(DEFAULT.log)
        heard += [Record.decode(fields[b"r"]).encode() for _, fields in rows[:3]]
        await w.publish("prompt", "newest")
        await until(lambda: w.client.get("prompt") == "newest")
        position = w.client.status().position

        for frame in heard:
            await w.raw.publish(DEFAULT.events, frame)
        await w.publish("other", "after")
        await until(lambda: w.client.get("other") == "after")

        assert w.client.get("prompt") == "newest"
        assert w.client.status().position > position
        await listening.aclose()


async def test_a_list_of_signing_keys_edited_by_hand_is_not_believed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.raw.set(DEFAULT.trust, STRANGER_LIST)

        async with w.newcomer("late") as late:
            await until(lambda: late.get("prompt") == "hello")


async def test_a_list_of_signing_keys_edited_by_hand_is_put_right(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        right = await w.raw.get(DEFAULT.trust)
        await w.raw.set(DEFAULT.trust, STRANGER_LIST)

        async with asyncio.timeout(30.0):
            while await w.raw.get(DEFAULT.trust) != right:
                pass


STRANGER_LIST = b'{"root": "ed25519:AAAA", "list": "{}", "sig": ""}'


async def _dump(w: World, keys: Keyspace) -> dict[bytes, bytes]:
    names = [name async for name in w.raw.scan_iter(f"cc:{{{keys.ns}}}:*")]
    ends = (b":cur", b":log", b":ring", b":head")
    kept = [name for name in names if b":obj:" in name or name.endswith(ends)]
    return {name: await w.raw.dump(name) for name in kept}


async def _restore(w: World, keys: Keyspace, dumps: dict[bytes, bytes]) -> None:
    for name, dump in dumps.items():
        await w.raw.restore(name, 0, dump, replace=True)
