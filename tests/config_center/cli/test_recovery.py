"""Export, restore and orphans from the command line, against a center and a store that lost all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import redis.asyncio as redis
from typer.testing import CliRunner

from client_sdk import Client
from config_center.__main__ import app
from config_center.ledger.words import Mode
from tests.config_center.api.test_recovery import SECRET
from tests.config_center.api.world import NS, http
from tests.redis_server import running
from tests.until import until


async def test_what_was_exported_is_put_back_and_what_is_newer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        async with http(tmp_path / "data", redis=server.url) as call:
            environment = {"CONFIG_CENTER_URL": call.url, "CONFIG_CENTER_TOKEN": str(call.token)}

            async def verb(*words: str) -> tuple[int, str]:
                done = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
                return done.exit_code, done.output

            await call("PUT", f"{NS}/keys/prompt", {"value": "exported"})
            file = str(tmp_path / "default.ccx")
            exported = await verb("export", file)
            await call("PUT", f"{NS}/keys/prompt", {"value": "newer", "comment": "why"})
            there = await verb("restore", file)
            await raw.flushall()
            ledger = call.center.registry.get("default")
            await until(lambda: ledger.mode is Mode.EMPTY)
            with monkeypatch.context() as asked:  # for a replica, and there is none
                asked.setattr(ledger.store, "_replicas", 1)
                asked.setattr(ledger.store, "_wait", 0.1)
                restored = await verb("restore", file)
            value = await verb("get", "prompt")
            listed = await verb("orphans", "ls")
            (orphan,) = (await call("GET", f"{NS}/orphans"))[1]["items"]
            replayed = await verb("orphans", "replay", orphan["id"])
            newest = await verb("get", "prompt")
            gone = await verb("orphans", "drop", orphan["id"])
            whole = await verb("restore", "--accept-loss")
            mode = (await asyncio.to_thread(os.stat, file)).st_mode & 0o777
        await raw.aclose()

    assert (exported[0], mode) == (0, 0o600)
    assert (there[0], "nothing has to be restored" in there[1]) == (1, True)
    assert (restored[0], "1 keys as of" in restored[1], "orphans ls" in restored[1]) == (
        *(0, True, True),
    )
    assert "fewer replicas than ack_replicas have them" in restored[1]
    assert value == (0, "exported\n")
    assert (listed[0], "prompt 2 (now 1)" in listed[1], "why" in listed[1]) == (0, True, True)
    assert (replayed[0], newest) == (0, (0, "newer\n"))
    assert (gone[0], whole[0], "nothing is known to be missing" in whole[1]) == (1, 1, True)


@pytest.mark.parametrize(
    "words", [[], ["a", "--from-journal"], ["--from-journal", "--accept-loss"]]
)
def test_one_source_is_named(words: list[str]) -> None:
    assert CliRunner().invoke(app, ["restore", *words]).exit_code == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["restore", str(tmp_path / "none")])

    assert done.exit_code == 1


@pytest.mark.parametrize("known", [True, False], ids=["journal is there", "journal is gone too"])
async def test_a_clients_own_snapshot_file_is_put_back(tmp_path: Path, known: bool) -> None:
    """Store gone, export never made: the newest .base in a client's state directory is whole."""
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        data = tmp_path / "data"
        async with http(data, redis=server.url) as call:
            await call("PUT", f"{NS}/keys/secret/schema", SECRET)
            await call("PUT", f"{NS}/keys/secret", {"value": "sesame"})
            await call("PUT", f"{NS}/keys/big", {"value": "x" * 20_000})
            await call("PUT", f"{NS}/keys/prompt", {"value": "kept"})
            async with Client.connect(
                server.url, instance="gw", state=tmp_path / "gw", timeout=30.0,
                trust=str(data / "trust.json"), secret_key=str(data / "secrets.key"),
            ) as client:  # fmt: skip
                assert client.get("prompt") == "kept"
            ring = await raw.hgetall("cc:{default}:ring")
        (base,) = sorted((tmp_path / "gw").rglob("*.base"))[-1:]
        await raw.flushall()
        async with http(data, redis=server.url) as call:
            journal = call.center.registry.journal
            if not known:  # of this namespace; who it is and its tokens it still knows
                await journal.transact(
                    lambda db: db.execute("DELETE FROM rows WHERE ns = 'default' AND v > 1")
                )
            environment = {"CONFIG_CENTER_URL": call.url, "CONFIG_CENTER_TOKEN": str(call.token)}
            words = ("restore", str(base), "--comment", "drill")
            done = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
            _, value, _ = await call("GET", f"{NS}/keys/prompt")
            _, big, _ = await call("GET", f"{NS}/keys/big")
            put, _, _ = await call("PUT", f"{NS}/keys/prompt", {"value": "on"})
            again = await raw.hgetall("cc:{default}:ring")
            await raw.flushall()
            ledger = call.center.registry.get("default")
            await until(lambda: ledger.mode is Mode.EMPTY)
            damaged = tmp_path / "put-away"
            await asyncio.to_thread(damage, base, damaged)
            words = ("restore", str(damaged))
            bad = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
        await raw.aclose()

    assert (done.exit_code, "3 keys as of" in done.output) == (0, True), done.output
    assert (value["value"], len(big["value"]), put) == ("kept", 20_000, 200)
    assert ring
    assert again == ring
    assert (bad.exit_code, "put-away is no snapshot" in bad.output) == (1, True)


def damage(base: Path, to: Path) -> None:
    to.write_bytes(base.read_bytes().replace(b"kept", b"evil"))


async def test_with_journal_and_store_gone_a_snapshot_takes_the_place_of_what_was_begun_anew(
    tmp_path: Path,
) -> None:
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        data = tmp_path / "data"
        async with http(data, redis=server.url) as call:
            await call("PUT", f"{NS}/keys/secret/schema", SECRET)
            await call("PUT", f"{NS}/keys/secret", {"value": "sesame"})
            await call("PUT", f"{NS}/keys/prompt", {"value": "kept"})
            async with Client.connect(
                server.url, instance="gw", state=tmp_path / "gw", timeout=30.0,
                trust=str(data / "trust.json"), secret_key=str(data / "secrets.key"),
            ) as client:  # fmt: skip
                await call("PUT", f"{NS}/keys/prompt", {"value": "the newest"})
                await until(lambda: client.get("prompt") == "the newest")
            ring = await raw.hgetall("cc:{default}:ring")
        (base,) = sorted((tmp_path / "gw").rglob("*.base"))[-1:]
        await raw.flushall()
        for file in data.glob("journal.sqlite3*"):
            file.unlink()
        async with http(data, redis=server.url) as call:
            environment = {"CONFIG_CENTER_URL": call.url, "CONFIG_CENTER_TOKEN": str(call.token)}

            async def restored() -> tuple[int, str]:
                words = ["restore", str(base)]
                done = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
                return done.exit_code, done.output

            back, twice = await restored(), await restored()
            _, value, _ = await call("GET", f"{NS}/keys/prompt")
            put, _, _ = await call("PUT", f"{NS}/keys/prompt", {"value": "on"})
            async with Client.connect(
                server.url, instance="gw", state=tmp_path / "gw", timeout=30.0,
                trust=str(data / "trust.json"), secret_key=str(data / "secrets.key"),
            ) as client:  # fmt: skip
                await until(lambda: client.get("prompt") == "on")
        async with http(data, redis=server.url) as call:
            ready, _, _ = await call("GET", "/readyz")
            _, listed, _ = await call("GET", f"{NS}/keys")
        again = await raw.hgetall("cc:{default}:ring")
        await raw.aclose()

    assert (ring, value["value"]) == (again, "the newest")
    assert (back[0], "2 keys as of" in back[1]) == (0, True)
    assert (twice[0], "nothing has to be restored" in twice[1]) == (1, True)
    assert (put, ready) == (200, 200)
    assert [item["key"] for item in listed["items"]] == ["prompt", "secret"]
