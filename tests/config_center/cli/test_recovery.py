"""Export, restore and orphans from the command line, against a center and a store that lost all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import redis.asyncio as redis
from typer.testing import CliRunner

from config_center.__main__ import app
from config_center.ledger.words import Mode
from tests.config_center.api.world import NS, http
from tests.redis_server import running
from tests.until import until


async def test_what_was_exported_is_put_back_and_what_is_newer_is_told(tmp_path: Path) -> None:
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
