"""
The signing key is replaced while everybody works: over Redis and over HTTP, with a publisher that
never stops, a client that was away, and afterwards a thief who has the old key and writes to Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import redis.asyncio as redis

from client_sdk import Client
from client_sdk.contents import Op
from client_sdk.records import Beat, Header, Position, Record
from client_sdk.signing import SigningKey, TrustList, show_public
from client_sdk.state import NamespaceState
from client_sdk.steps import Timing
from client_sdk.transports.keyspace import Keyspace
from config_center.access import Actor
from config_center.center import Center
from config_center.keys import load
from config_center.ledger.keeper import Rhythm
from config_center.publishing import Put
from config_center.settings import Settings
from tests.history import put
from tests.redis_server import running
from tests.until import until

QUICK = Timing(silence=5.0, pong=5.0, check=0.3, report=0.1)  # a busy machine is no lost link
RHYTHM = Rhythm(beat_every=0.05, ttl=10, guard_every=0.1, patience=1.0)
DEFAULT = Keyspace("default")
ADMIN = Actor("test", "admin")


@dataclass
class World:
    """A center on a Redis of its own, and the key it began with, as a thief would have it."""

    opened: Center
    raw: redis.Redis
    url: str
    home: Path
    stolen: SigningKey
    published: list[int] = field(default_factory=list)

    async def publish(self, value: Any, key: str = "prompt") -> None:
        await self.opened.service.put("default", key, Put(value=value), ADMIN)

    async def publish_until(self, enough: asyncio.Event) -> None:
        while not enough.is_set():
            value = len(self.published)
            await self.publish(value)
            self.published.append(value)
            await asyncio.sleep(0)

    def client(self, name: str, url: str = "", **options: Any) -> Any:
        trust = show_public(self.opened.registry.lists.newest.root)
        return Client.connect(
            url or self.url, instance=name, state=self.home / name, trust=trust, timing=QUICK,
            token=self.opened.admin_token, timeout=20.0, **options,
        )  # fmt: skip

    @property
    def state(self) -> NamespaceState:
        return self.opened.registry.get("default").state

    @property
    def mode(self) -> str:
        return self.opened.registry.get("default").mode.value

    async def serves(self, client: Client, key: str = "prompt") -> None:
        entry = self.state.entries[key]
        await until(lambda: client.status().position >= entry.position)

    async def rotated(self, *clients: str) -> None:
        """Wait until the old key is refused, by these clients as well."""
        lists = self.opened.registry.lists
        await until(lambda: self.stolen.kid in lists.newest.refused)
        for name in clients:
            await until(lambda name=name: pinned(self, name).version == lists.newest.version)

    def forged(self, *ops: Op, key: SigningKey | None = None) -> tuple[Record, NamespaceState]:
        """What the thief writes on top of the present."""
        thief, state = key or self.stolen, self.state
        position = Position(state.position.e, state.position.v + 1)
        new = state.after(ops, position)
        header = Header(
            "default", position.e, position.v, state.c, "put", "forged", "asked", ops,
            new.digest, thief.kid, 1_700_000_000_000, "thief",
        )  # fmt: skip
        bodies = [c.body for op in ops for c in op.contents if c.body is not None]
        return Record.issue(header, thief, bodies), new


@contextlib.asynccontextmanager
async def world(home: Path) -> AsyncIterator[World]:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        data = home / "data"
        settings = Settings(listen="127.0.0.1:0", data=data, redis=server.url)
        async with raw, Center(settings, RHYTHM) as opened:
            made = World(opened, raw, server.url, home, load(data).signing)
            await made.publish("first")
            yield made


async def test_a35_a_key_is_replaced_under_publishing_and_nobody_loses_a_change_or_a_link(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        async with w.client("away") as away:
            await w.serves(away)
        async with w.client("redis") as one, w.client("http", w.opened.url) as two:
            counts = ("config_client_reconnects_total", "config_client_tampered_total")
            before = [[client.metrics()[name] for name in counts] for client in (one, two)]
            enough = asyncio.Event()
            publishing = asyncio.create_task(w.publish_until(enough))
            await until(lambda: len(w.published) > 5)

            await w.opened.service.rotation.do("rotate")
            await w.rotated()

            count = len(w.published)
            await until(lambda: len(w.published) > count + 5)
            enough.set()
            await publishing
            assert w.state.entries["prompt"].latest == len(w.published) + 1  # none was lost
            for client in (one, two):
                await w.serves(client)
                assert client.get("prompt") == w.published[-1]
                assert not client.status().stale
            after = [[client.metrics()[name] for name in counts] for client in (one, two)]
            assert after == before
        signed = load(tmp_path / "data").signing.kid
        assert w.opened.registry.get("default").head.header.kid == signed != w.stolen.kid
        async with w.client("away") as away:
            await w.serves(away)
            assert away.get("prompt") == w.published[-1]
            assert away.metrics()["config_client_tampered_total"] == 0


async def test_a35_what_a_thief_signs_with_a_retired_key_is_applied_by_nobody_and_said(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:  # noqa: SIM117  # the client's address comes from the world
        async with w.client("redis") as one, w.client("http", w.opened.url) as two:
            await w.opened.service.rotation.do("rotate")
            await w.rotated("redis", "http")
            await w.serves(one)
            record, _ = w.forged(put("prompt", "evil", 2))
            now = time.time_ns() // 1_000_000
            beat = Beat(
                "default", *record.position, record.c, now, 10.0, 1.0, "x", w.stolen.kid
            ).signed(w.stolen)

            await w.raw.publish(DEFAULT.events, record.encode())
            await w.raw.publish(DEFAULT.events, beat.encode())
            await w.raw.xadd(DEFAULT.log, {"r": record.encode()}, id=str(record.position))
            await w.raw.hset(
                DEFAULT.head,
                mapping={"v": record.position.v, "c": record.c, "rec": record.encode()},
            )
            await until(lambda: w.mode == "tampered")

            assert (one.get("prompt"), two.get("prompt")) == ("first", "first")


async def test_a35_a_revoked_key_is_refused_at_once_and_its_victims_are_led_back(
    tmp_path: Path,
) -> None:
    """The thief was quicker: a client already runs what he signed, above the center's head."""
    async with world(tmp_path) as w, w.client("redis", f"{w.url},{w.opened.url}") as victim:
        await w.serves(victim)
        record, _ = w.forged(put("prompt", "evil", 2))
        await w.raw.publish(DEFAULT.events, record.encode())
        await until(lambda: victim.get("prompt") == "evil")

        await w.opened.service.rotation.do("revoke", w.stolen.kid)
        await until(lambda: victim.get("prompt") == "first")

        assert w.stolen.kid in w.opened.registry.lists.newest.refused
        await until(lambda: w.mode == "ready")
        await w.publish("after")
        await until(lambda: victim.get("prompt") == "after")
        other, _ = w.forged(put("prompt", "evil", 3))
        await w.raw.publish(DEFAULT.events, other.encode())
        await w.publish("later")
        await until(lambda: victim.get("prompt") == "later")


async def test_a31_an_old_list_put_back_is_put_right_and_taken_by_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.client("redis") as one:
        old = await w.raw.get(DEFAULT.trust)
        await w.opened.service.rotation.do("rotate")
        await w.rotated("redis")
        newest = w.opened.registry.lists.newest.encode()

        await w.raw.set(DEFAULT.trust, old)

        async with asyncio.timeout(30.0):
            while await w.raw.get(DEFAULT.trust) != newest:
                pass
        assert pinned(w, "redis").encode() == newest
        await w.publish("goes on")
        await until(lambda: one.get("prompt") == "goes on")


async def test_the_root_in_a_drawer_signs_elsewhere_and_the_center_says_when_it_needs_it(
    tmp_path: Path,
) -> None:
    from config_center import succession
    from config_center.keys import load_root

    async with world(tmp_path) as w:
        drawer = tmp_path / "root.key"
        (tmp_path / "data" / "root.key").rename(drawer)
        headers = {"Authorization": f"Bearer {w.opened.admin_token}"}
        async with aiohttp.ClientSession(w.opened.url, headers=headers) as http:
            async with http.post("/v1/trust/rotate", json={}) as response:
                problem = await response.json()
                assert (response.status, problem["type"].rpartition(":")[2]) == (
                    409,
                    "root-offline",
                )
                assert "config-center trust request" in problem["detail"]
            async with http.post("/v1/trust/request", json={"what": "rotate"}) as response:
                asked = succession.Request.decode(await response.read())
            signed = succession.sign(asked, load_root(drawer))
            body = orjson.loads(succession.encode_signed(signed))
            async with http.post("/v1/trust", json=body) as response:
                assert response.status == 200
            await w.rotated()
            async with http.get("/v1/trust/keys") as response:
                words = await response.json()

        assert not words["root_here"]
        states = {row["kid"]: row["state"] for row in words["keys"]}
        assert states == {w.opened.registry.key.kid: "signs", w.stolen.kid: "retired"}


def pinned(w: World, name: str) -> TrustList:
    return TrustList.parse((w.home / name / "trust.json").read_bytes())
