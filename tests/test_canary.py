"""
A40: one secret is published, everything that the center can do is done to it, and then everything
that came out anywhere is searched. It is found in the one place that opens it.

The routes come from the table, so a new one is driven without a line here. A second text, which is
no secret, goes the same way: where the search does not find *that*, the search is broken.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import redis.asyncio as redis
from typer.testing import CliRunner

from client_sdk import Client
from client_sdk.errors import NotReady
from client_sdk.steps import Timing
from config_center.__main__ import app
from config_center.api import ROUTES
from config_center.api.route import EVENTS, Route
from tests.config_center.api.world import NS, Http, http
from tests.redis_server import running
from tests.until import until

ROLES = ("admin", "publisher", "reader")
PAGES = ("/", "/metrics", "/openapi.json", "/docs", "/web/page.js", "/web/index.html")
QUICK = Timing(silence=0.5, pong=0.5, check=0.5, report=0.1)


class Found:
    """What came out, by where; :meth:`places` says where one of the forms of a text is in it."""

    def __init__(self) -> None:
        self.out: list[tuple[str, bytes]] = []

    def add(self, where: str, data: object) -> None:
        self.out.append((where, data if isinstance(data, bytes) else str(data).encode()))

    def places(self, text: str) -> set[str]:
        needles = list(forms(text.encode()))
        return {where for where, data in self.out if any(needle in data for needle in needles)}


def forms(raw: bytes) -> Iterator[bytes]:
    """As it is, in hex, and in base64 at each of the three ways that it may be aligned."""
    yield raw
    yield raw.hex().encode()
    for at in range(3):
        whole = base64.b64encode(b"\0" * at + raw)
        yield whole[4 if at else 0 : -4]


class World:
    """A center on a Redis, a gateway that opens the secret, and an ear on every channel."""

    def __init__(self, api: Http, home: Path, secret: str, text: str) -> None:
        self.api, self.home, self.secret, self.text = api, home, secret, text
        self.found = Found()
        self.roles: dict[str, Http] = {}
        self.ids: list[str] = []
        self.sha256 = self.gateway = self.draft = ""

    def llm(self, **changes: Any) -> dict[str, Any]:
        url = "https://api.example/v1"
        plain = {"type": "openai", "base_url": url, "api_key": self.secret, "model": "m"}
        return {**plain, **changes}

    async def ask(self, who: str, method: str, path: str, **how: Any) -> Any:
        status, body, headers = await self.roles[who](method, path, **how)
        answer = body if isinstance(body, bytes) else orjson.dumps(body)
        self.found.add(f"{who} {method} {path.partition('?')[0]}", answer + repr(headers).encode())
        return status, body

    async def publish(self) -> None:
        for role in ROLES:
            _, made, _ = await self.api("POST", "/v1/tokens", {"name": role, "role": role})
            self.roles[role] = self.api.with_token(made["token"])
            self.ids.append(made["id"])
        about = {"name": "bad", "role": "instance", "instance": "bad"}
        self.gateway = (await self.api("POST", "/v1/tokens", about))[1]["token"]
        await self.ask("admin", "PUT", f"{NS}/keys/llm/schema", body={"kind": "llm"})
        await self.ask("admin", "PUT", f"{NS}/keys/old", body={"value": self.llm(api_key="x")})
        for model in ("a", "b"):
            value = {"value": self.llm(model=model)}
            status, done = await self.ask("publisher", "PUT", f"{NS}/keys/llm", body=value)
            assert status == 200
            self.ids.append(done["change"])
            self.sha256 = done["sha256"]
        rollout = {"percent": 10, "unit": "device"}
        canary = {"value": self.llm(api_key=self.secret + "-2"), "rollout": rollout}
        _, done = await self.ask("publisher", "PUT", f"{NS}/keys/llm", body=canary)
        self.ids.append(done["rollout"]["id"])
        operation = {"op": "put", "key": "drafted", "value": self.llm()}
        await self.ask("admin", "PUT", f"{NS}/keys/drafted/schema", body={"kind": "llm"})
        body = {"operations": [operation, {"op": "put", "key": "told", "value": self.text}]}
        _, draft = await self.ask("publisher", "POST", f"{NS}/drafts", body=body)
        self.ids.append(draft["id"])
        self.draft = draft["content"]
        await self.ask("publisher", "PUT", f"{NS}/keys/prompt", body={"value": self.text})
        await self.ask("publisher", "PUT", f"{NS}/keys/big", body={"value": self.text * 2000})

    async def drive(self, route: Route) -> None:
        """One route, as everybody, with everything that could make it say too much."""
        for who in ROLES:
            for path in self.paths(route):
                if route.answers == EVENTS:
                    await self.listen(who, path)
                elif route.method == "GET":
                    await self.ask(who, "GET", path)
                else:
                    for how in self.bodies(route):
                        await self.ask(who, route.method, path, **how)

    def paths(self, route: Route) -> Iterator[str]:
        ns = (
            "spare"
            if (route.method, route.path) == ("DELETE", "/v1/namespaces/{ns}")
            else "default"
        )
        known = [p.name for p in route.parameters if p.place == "query"]
        queries = {
            "unit": "?unit=24:6f:28:a0:00:01",
            "version": "?version=1",
            "from": "?from=1&to=3&format=unified",
            "format": "?from=1&to=3&format=json-patch",
            "as": "?as=records&after=1-1",
            "after": "?after=1-1",
            "prefix": "?prefix=l",
        }
        chosen = ["", *(query for name, query in queries.items() if name in known)]
        for ident in self.ids if "{id}" in route.path else [""]:
            parts = {"ns": ns, "key": "llm", "id": ident, "sha256": self.sha256}
            yield from (route.path.format(**parts) + query for query in chosen)

    def bodies(self, route: Route) -> Iterator[dict[str, Any]]:
        """What is wrong in every way in which a value may be wrong, and what is right."""
        values = [self.secret, self.llm(model=7), self.llm(base_url=self.secret), self.llm()]
        fields = set(route.body.model_fields) if route.body is not None else set()
        yield {"raw": b'{"value": "' + self.secret.encode()}
        yield {"body": {"nothing": self.secret}}
        if "operations" in fields:
            rollout = {"rollout": {"percent": 5}} if "rollouts" in route.path else {}
            for value in values:
                operation = {"op": "put", "key": "llm", "value": value}
                yield {"body": {"operations": [operation], **rollout}}
        elif "value" in fields:
            for value in values:
                yield {"body": {"value": value}}
            for kind, text in (
                ("application/yaml", f"api_key: {self.secret}: ["),
                ("application/yaml", f"api_key: &a {self.secret}\nb: *a"),
                ("application/toml", f"api_key = {self.secret}"),
                ("text/plain", self.secret),
            ):
                yield {"raw": text.encode(), "Content-Type": kind}
        elif "to" in fields or "version" in fields:
            yield {"body": {"to" if "to" in fields else "version": 1}}
        elif "content" in fields:
            yield {"body": {"content": self.draft}}
        else:
            yield {"body": {}}

    async def listen(self, who: str, path: str) -> None:
        headers = {"Authorization": f"Bearer {self.roles[who].token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(self.api.url + path) as response,
        ):
            last = b""
            async with asyncio.timeout(30):
                async for line in response.content:
                    self.found.add(f"{who} GET {path.partition('?')[0]}", line)
                    if last.startswith(b"event: heartbeat"):  # it comes after all that was before
                        return
                    last = line

    async def verbs(self) -> None:
        given = {"CONFIG_CENTER_URL": self.api.url, "CONFIG_CENTER_TOKEN": str(self.api.token)}
        for words in (
            ("export", str(self.home / "default.ccx")),
            ("get", "llm"),
            ("get", "llm", "--json"),
            ("history", "llm"),
            ("diff", "llm", "--from", "1", "--to", "3"),
            ("instances", "--json"),
            ("secrets", "status"),
            ("secrets", "seal", "--list"),
            ("doctor",),
        ):
            done = await asyncio.to_thread(CliRunner().invoke, app, words, env=given)
            self.found.add(f"verb {words[0]}", done.output)

    def files(self, store: Path) -> None:
        for where, folder in (("file", self.home), ("file of redis", store)):
            for path in filter(Path.is_file, folder.rglob("*")):
                with contextlib.suppress(FileNotFoundError):  # put away meanwhile
                    self.found.add(f"{where} {path.relative_to(folder)}", path.read_bytes())
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                self.found.add("arguments", path.read_bytes())


async def dump(raw: redis.Redis) -> AsyncIterator[tuple[str, object]]:
    """Every key of a Redis, unpacked."""
    readers = {
        b"string": raw.get,
        b"hash": raw.hgetall,
        b"stream": raw.xrange,
        b"zset": lambda name: raw.zrange(name, 0, -1),
        b"set": raw.smembers,
    }
    async for name in raw.scan_iter():
        yield name.decode(), await readers[await raw.type(name)](name)


async def overhear(raw: redis.Redis, found: Found) -> None:
    ear = raw.pubsub()
    await ear.psubscribe("*")
    try:
        async for message in ear.listen():
            found.add("channel", message["data"])
    finally:
        await ear.aclose()


def build(settings: Any, _previous: Any) -> Any:
    raise ValueError(f"the provider refuses {settings['api_key']}")


@contextlib.asynccontextmanager
async def world(home: Path, server: Any) -> AsyncIterator[tuple[World, redis.Redis]]:
    raw = redis.Redis.from_url(server.url)
    async with http(home / "data", redis=server.url, log_level="debug") as api:
        made = World(api, home, f"SECRET-CANARY-{secrets.token_hex(12)}", "TEXT-" + "o" * 40)
        await api("PUT", "/v1/namespaces/spare")
        ear = asyncio.create_task(overhear(raw, made.found))
        try:
            yield made, raw
        finally:
            ear.cancel()
            await asyncio.wait((ear,))
    await raw.aclose()


async def test_a40_a_secret_comes_out_nowhere_but_where_it_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    opened: list[str] = []

    def working(settings: Any, _previous: Any) -> Any:
        opened.append(settings["api_key"])
        return object()

    with running() as server:
        async with world(tmp_path, server) as (w, raw):
            await w.publish()
            trust, kek = (str(tmp_path / "data" / name) for name in ("trust.json", "secrets.key"))
            async with (
                Client.connect(
                    server.url, instance="good", state=tmp_path / "good", trust=trust,
                    secret_key=kek, timeout=30.0, timing=QUICK,
                ) as good,
                Client.connect(
                    w.api.url, instance="bad", state=tmp_path / "bad", trust=trust,
                    token=w.gateway, secret_key=kek, timeout=30.0, timing=QUICK,
                    report_every=0.1,
                ) as bad,
            ):  # fmt: skip
                good.module("llm", working)
                bad.module("llm", build)
                await good.ready()
                await until(lambda: opened)
                w.found.add("get", (good.get("llm"), good.get("prompt"), good.status()))
                with pytest.raises(NotReady) as refused:
                    bad.get("llm")
                w.found.add("error", refused.value)
                for page in PAGES:
                    await w.ask("reader", "GET", page)
                safe = [route for route in ROUTES if route.method == "GET"]
                risky = [route for route in ROUTES if route.method in ("POST", "PUT")]
                last = [route for route in ROUTES if route not in (*safe, *risky)]
                for route in (*safe, *risky):
                    await w.drive(route)
                await w.verbs()
                refusal = (await w.ask("reader", "GET", f"{NS}/instances"))[1]
                assert (await w.ask("reader", "GET", f"{NS}/keys/drafted"))[0] == 200, "approved"
                for route in last:
                    await w.drive(route)
            async for name, value in dump(raw):
                w.found.add(f"redis {name.rpartition(':')[2]}", value)
        w.files(server.home)
    w.found.add("log", caplog.text)
    w.found.add("output", "".join(capfd.readouterr()))

    assert opened[0] == w.secret, "the one place"
    assert "refused" in str(refusal), "the failing module was reported, without its secret"
    assert w.found.places(w.secret) == set()
    seen = w.found.places(w.text)
    assert {"channel", "redis cur", "file data/journal.sqlite3", "get"} <= seen
    assert {f"reader GET {NS}/{name}" for name in ("snapshot", "records", "watch")} <= seen
    assert any(place.startswith(f"reader GET {NS}/drafts/") for place in seen)
