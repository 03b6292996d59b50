"""Centers that help each other: what one acknowledged, another brings back."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio as redis
from aiohttp import web

from client_sdk.errors import SettingInvalid
from client_sdk.records import pack, unpack
from config_center import peers
from config_center.access import Actor
from config_center.api import peer
from config_center.center import Center
from config_center.ledger.keeper import Rhythm
from config_center.ledger.words import Mode
from config_center.problems import Problem
from config_center.publishing import Put
from tests.config_center.api.world import center
from tests.history import KEY, STRANGER, History, put, verifier
from tests.redis_server import running
from tests.until import until

ADMIN = Actor("test", "admin")
STILL = Rhythm(beat_every=3600, guard_every=3600)


@contextlib.asynccontextmanager
async def two(home: Path) -> AsyncIterator[tuple[Center, Center, redis.Redis]]:
    """A, which asks B; on one store and with one signing key. A looks at nothing by itself."""
    with running() as server, pytest.MonkeyPatch.context() as patience:
        patience.setattr(peers, "_WITHIN", 30.0)
        async with (
            redis.Redis.from_url(server.url) as raw,
            center(home / "b", redis=server.url) as b,
        ):
            (home / "a").mkdir(mode=0o700)
            for name in ("root.key", "signing.key", "trust.json", "secrets.key", "admin.token"):
                await asyncio.to_thread(shutil.copy2, home / "b" / name, home / "a" / name)
            async with center(home / "a", STILL, redis=server.url, peers=[b.url]) as a:
                yield a, b, raw


async def test_a_center_with_keys_of_its_own_does_not_start_on_the_store_of_others(
    tmp_path: Path,
) -> None:
    with running() as server:
        async with center(tmp_path / "first", redis=server.url) as first:
            with pytest.raises(SettingInvalid, match=r"another root key, ed25519:.* root\.key"):
                async with center(tmp_path / "stranger", redis=server.url):
                    pass
            document = await first.registry.store.read_trust("_system")

        async with center(tmp_path / "first", redis=server.url) as again:
            assert again.registry.get("_system").mode.value == "ready"

    assert document == again.registry.lists.newest.encode()


async def test_whoever_adopts_first_brings_back_what_a_peer_acknowledged(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b, raw):
        replica = {name: await raw.dump(name) async for name in raw.scan_iter("cc:{default}:*")}
        mine, theirs = a.registry.get("default"), b.registry.get("default")
        await b.service.put("default", "k", Put(value="acknowledged by b"), ADMIN)
        async with theirs.lock, mine.lock:  # B does not look before A has
            await raw.delete("cc:{default}:cur", "cc:{default}:ids", "cc:{default}:idt")
            for name, dump in replica.items():
                await raw.restore(name, 0, dump, replace=True)
            await raw.hset("cc:{default}:head", "rid", "0" * 40)
            await mine.refresh()

        assert mine.state.entries["k"].content.body == b'"acknowledged by b"'
        await until(lambda: theirs.state.c == mine.state.c)
        assert await theirs.journal.orphans("default") == []
        assert theirs.mode is Mode.READY


async def test_a_name_that_a_peer_has_history_of_is_not_made_anew(tmp_path: Path) -> None:
    async with two(tmp_path) as (a, b, raw):
        await b.registry.create("team", "alice")
        await raw.flushall()

        with pytest.raises(Problem) as taken:
            await a.registry.create("team", "bob")

    assert taken.value.name == "already-exists"


async def test_nobody_but_a_center_of_the_trust_list_is_answered(tmp_path: Path) -> None:
    async with center(tmp_path) as opened, aiohttp.ClientSession() as http:

        async def status(authorization: str, path: str = peers.NAMESPACES) -> int:
            headers = {"Authorization": authorization} if authorization else {}
            async with http.get(opened.url + path, headers=headers) as answer:
                return answer.status

        def signed(key: object, path: str = peers.NAMESPACES) -> str:
            return peers.sign_in(key, path, time.time())["Authorization"]  # type: ignore[arg-type]

        key = opened.registry.key
        rows = f"{peers.ROWS}?ns=_system&above="
        asked = [
            await status(""),
            await status(f"Bearer {opened.admin_token}"),
            await status(signed(STRANGER)),
            await status(signed(key, rows + "1-1")),
            await status("Center a.b.c"),
        ]
        good = await status(signed(key)), await status(signed(key, rows + "1-1"), rows + "1-1")
        wrong = await status(signed(key, rows + "x"), rows + "x")

    assert asked == [401] * 5
    assert (good, wrong) == ((200, 200), 400)


def test_what_was_signed_long_ago_is_refused() -> None:
    path, now = peers.NAMESPACES, 1_700_000_000.0
    header = peers.sign_in(KEY, path, now)["Authorization"]

    assert peers.authenticate(verifier(), header, path, now + 59).role == "peer"
    with pytest.raises(Problem):
        peers.authenticate(verifier(), header, path, now + 61)


async def test_a_peer_that_is_away_or_talks_nonsense_costs_its_deadline_and_nothing_else(
    tmp_path: Path,
) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\0\0\0\x03abc")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, center(tmp_path) as opened:
        asked = peers.Peers(
            (f"http://127.0.0.1:{port}", "http://127.0.0.1:1"), KEY, opened.registry.verifier
        )
        before = opened.registry.get("default").state
        await asked.ask(opened.registry.get("default"))

        assert not await asked.know("default")
        assert opened.registry.get("default").state is before


async def test_history_comes_in_pages_of_a_bounded_size_and_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came as one answer, as large as history was; each page still comes in many pieces."""
    monkeypatch.setattr(peer, "_PAGE_BYTES", 300_000)
    async with two(tmp_path) as (a, b, _), aiohttp.ClientSession() as http:
        mine = a.registry.get("default")
        above = mine.state.position
        for number in range(5):
            value = f"{number}" * 200_000
            await b.service.put("default", f"k{number}", Put(value=value), ADMIN)
        path = f"{peers.ROWS}?ns=default&above={above}"
        proof = peers.sign_in(a.registry.key, path, time.time())
        async with http.get(b.url + path, headers=proof) as answer:
            first = unpack(await answer.read())
        monkeypatch.setattr(peer, "_PAGE_ROWS", 1)

        await a.registry.ask_peers(mine)

        assert [len(frame) // 200_000 for frame in first] == [1, 1]
        theirs = await b.registry.get("default").journal.above("default", above)
        assert len(theirs) == 5
        assert await mine.journal.above("default", above) == theirs


@pytest.mark.parametrize(
    ("kind", "rows", "answers"),
    [("repeats itself", 1, 2), ("breaks off", 1, 2), ("goes on for ever", 2, 2), ("is late", 0, 0)],
)
async def test_of_a_peer_that_never_ends_there_is_what_came_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, rows: int, answers: int
) -> None:
    monkeypatch.setattr(peers, "_WITHIN", 30.0)
    monkeypatch.setattr(peers, "_IN_ALL", 0.0 if kind == "is late" else 60.0)
    monkeypatch.setattr(peers, "_MOST_ROWS", 2 if kind == "goes on for ever" else 5)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["above"])
        if kind == "breaks off" and len(asked) > 1:
            raise web.HTTPServiceUnavailable
        at = 0 if kind == "repeats itself" else len(asked) - 1
        return web.Response(body=pack([history.records[-9:][at].encode()]))

    app = web.Application()
    app.router.add_get(peers.ROWS, answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with center(tmp_path, STILL) as opened:
        ledger, key = opened.registry.get("default"), opened.registry.key
        history = History("default", key)
        history.state, above = ledger.state, ledger.state.position
        for number in range(9):
            history.add(put("k", number, number + 1))

        await peers.Peers((url,), key, opened.registry.verifier).ask(ledger)

        found = await ledger.journal.above("default", above)
    await runner.cleanup()
    assert found == history.records[-9:][:rows]
    assert len(asked) == answers
