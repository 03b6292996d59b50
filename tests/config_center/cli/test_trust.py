"""Signing keys from the command line: with the root at hand, in a drawer, and stolen."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import orjson
from typer.testing import CliRunner

from config_center.__main__ import app
from config_center.keys import load
from config_center.ledger.keeper import Rhythm
from tests.config_center.api.world import Http, http
from tests.until import until

Verb = Callable[..., Awaitable[tuple[int, str]]]
QUICK = Rhythm(beat_every=0.02, ttl=10, guard_every=0.1, patience=0.3)


@contextlib.asynccontextmanager
async def world(data: Path) -> AsyncIterator[tuple[Http, Verb]]:
    async with http(data, rhythm=QUICK) as call:
        environment = {"CONFIG_CENTER_URL": call.url, "CONFIG_CENTER_TOKEN": str(call.token)}

        async def verb(*words: str | Path) -> tuple[int, str]:
            typed = ["trust", *map(str, words)]
            done = await asyncio.to_thread(CliRunner().invoke, app, typed, env=environment)
            return done.exit_code, done.output

        yield call, verb


@contextlib.contextmanager
def announcing(call: Http) -> Iterator[None]:
    """The next key is announced, and no more, for as long as the block lasts."""
    rotation = call.center.service.rotation
    quick, rotation._every = rotation._every, 3600.0
    try:
        yield
    finally:
        rotation._every = quick
        rotation._wake.set()


async def refused(call: Http, kid: str) -> None:
    lists = call.center.registry.lists
    await until(lambda: kid in lists.newest.refused)


def is_done(answer: tuple[int, str], *words: str) -> None:
    status, said = answer
    assert status == 0, said
    for word in words:
        assert word in said


def is_refused(answer: tuple[int, str], word: str) -> None:
    status, said = answer
    assert (status, word in said) == (1, True), said


async def test_the_verbs_replace_a_key_and_show_what_it_signed(tmp_path: Path) -> None:
    async with world(tmp_path / "data") as (call, verb):
        registry = call.center.registry
        old, root = registry.key.kid, registry.lists.newest.root

        is_done(await verb(), "ed25519:")
        is_done(await verb("show"), old, "signs", "is here; list 1")
        with announcing(call):
            is_done(await verb("rotate", "--valid-days", "30"), old, "leaving", "next")
        await refused(call, old)
        is_done(await verb("show"), f"{old}  retired", registry.key.kid)
        status, shown = await verb("show", "--json")
        words = orjson.loads(shown)
        assert (status, words["signs"], words["version"]) == (0, registry.key.kid, 3)
        assert words["keys"][0]["until"] is not None
        is_done(await verb("records", old, "--days", "1"), "create", "config-center")
        is_done(await verb("records", registry.key.kid, "--days", "0", "--json"), "[]")
        is_refused(await verb("records", "0" * 16), "config-center trust show lists them all")
        is_refused(await verb("retire", registry.key.kid), "rotate it instead")
        is_refused(await verb("revoke", "0" * 16), "does not trust the key")
        assert registry.lists.newest.root == root

        stolen = registry.key.kid
        is_done(await verb("revoke", stolen), f"trust records {stolen}")
        await refused(call, stolen)
        assert (await call("GET", "/readyz"))[0] in (200, 503)


async def test_a_root_in_a_drawer_signs_a_file_that_is_carried_to_it(tmp_path: Path) -> None:
    data, drawer = tmp_path / "data", tmp_path / "drawer" / "root.key"
    paper, signed = tmp_path / "new-key.json", tmp_path / "new-key.json.signed"
    async with world(data) as (call, verb):
        old = call.center.registry.key.kid
        await asyncio.to_thread(_into_drawer, data, drawer)

        is_refused(await verb("rotate"), "config-center trust request FILE")
        is_done(await verb("show"), "is kept elsewhere")
        is_done(await verb("request", paper), "trust sign")
        is_refused(await verb("sign", paper, "--root", data / "signing.key", "--yes"), "root")
        is_done(await verb("sign", paper, "--root", drawer, "--yes"), f"list 3: {old} is retired")
        is_refused(await verb("install", paper), "is not signed yet")
        with announcing(call):
            is_done(await verb("install", signed), "leaving")
        await refused(call, old)
        is_refused(await verb("install", signed), "none is newer")
        is_refused(await verb("request", paper, "--revoke", "0" * 16), "does not trust the key")
        is_refused(await verb("install", tmp_path / "absent"), "cannot be read")
        status, _ = await verb("request", paper, "--revoke", old, "--retire", old)
        assert status == 2


def _into_drawer(data: Path, drawer: Path) -> None:
    drawer.parent.mkdir()
    (data / "root.key").rename(drawer)


async def test_the_root_is_asked_before_it_signs(tmp_path: Path) -> None:
    async with world(tmp_path / "data") as (_, verb):
        paper = tmp_path / "new-key.json"
        is_done(await verb("request", paper))

        is_refused(
            await verb("sign", paper, "--root", tmp_path / "data" / "root.key"), "Sign this?"
        )
        assert not await asyncio.to_thread(os.path.exists, f"{paper}.signed")


async def test_one_more_center_has_a_key_of_its_own_under_the_same_root(tmp_path: Path) -> None:
    data, second, paper = tmp_path / "data", tmp_path / "second", tmp_path / "second.json"
    async with world(data) as (call, verb):
        await asyncio.to_thread(second.mkdir)
        is_refused(await verb("request", paper, "--new-center", second), "trust.json")
        document = (await call("GET", "/v1/trust"))[1]
        await asyncio.to_thread((second / "trust.json").write_bytes, orjson.dumps(document))

        is_done(await verb("request", paper, "--new-center", second))
        is_done(await verb("sign", paper, "--root", data / "root.key", "--yes"), "is trusted")
        is_done(await verb("install", f"{paper}.signed"), "trusted")

        newest = call.center.registry.lists.newest
        await asyncio.to_thread(_complete, second, data, newest.encode())
        theirs = await asyncio.to_thread(load, second)
        assert theirs.signing.kid in newest.keys
        assert theirs.root is None


def _complete(second: Path, data: Path, document: bytes) -> None:
    (second / "trust.json").write_bytes(document)
    (second / "secrets.key").write_bytes((data / "secrets.key").read_bytes())
    (second / "secrets.key").chmod(0o600)
