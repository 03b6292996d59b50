"""The command line against a real center."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from config_center.__main__ import app
from tests.config_center.api.world import center


class Shell:
    """Runs verbs in a thread, as the loop is the center's."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    async def __call__(self, *words: str, status: int = 0, text: str | None = None) -> str:
        def run() -> str:
            done = CliRunner().invoke(app, list(words), env=self._environment, input=text)
            assert done.exit_code == status, done.output
            return done.output

        return await asyncio.to_thread(run)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with center(tmp_path / "data") as opened:
        yield Shell({"CONFIG_CENTER_URL": opened.url, "CONFIG_CENTER_TOKEN": opened.admin_token})


async def test_publish_read_and_history(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "conf.yaml"
    file.write_text("a: 1\n", "utf-8")

    assert "version 1" in await shell("put", "prompt", "--text", "hello", "-c", "why")
    await shell("put", "conf", str(file))
    await shell("put", "piped", "-", text="from a pipe")
    assert await shell("get", "prompt") == "hello\n"
    assert await shell("get", "conf") == "a: 1\n\n"
    assert "conf" in await shell("ls")
    assert [row["key"] for row in orjson.loads(await shell("ls", "--json"))] == [
        "conf",
        "piped",
        "prompt",
    ]
    assert "why" in await shell("history", "prompt")
    await shell("put", "prompt", "--text", "bye", "--if-version", "1")
    assert "+bye" in await shell("diff", "prompt")
    assert orjson.loads(await shell("history", "prompt", "--json"))[0]["version"] == 2
    await shell("rm", "piped")


async def test_a_canary_is_promoted_and_rolled_back(shell: Shell) -> None:
    await shell("put", "prompt", "--text", "one")
    said = await shell("put", "prompt", "--text", "two", "--percent", "10")
    assert "rollout promote prompt" in said
    assert "running" in await shell("rollout", "status", "prompt")
    assert "running" in await shell("rollout", "status")
    await shell("rollout", "step", "prompt", "--percent", "50")
    await shell("rollout", "pause", "prompt")
    await shell("rollout", "resume", "prompt")
    promoted = await shell("rollout", "promote", "prompt")
    assert "promoted" in promoted
    assert "of the canary: assigned 0" in promoted
    assert "version 3" in await shell("rollback", "prompt")
    await shell("put", "prompt", "--text", "four", "--percent", "10")
    assert "aborted" in await shell("rollback", "prompt")


async def test_what_is_wrong_is_one_sentence_and_status_1(shell: Shell) -> None:
    assert "--text" in await shell("put", "prompt", "no-such-file.txt", status=1)
    assert "error:" in await shell("get", "nothing", status=1)
    assert "error:" in await shell("put", "Bad Key", "--text", "x", status=1)
    await shell("put", "prompt", "--nonsense", status=2)
    await shell("put", "prompt", status=2)


async def test_what_is_not_there_is_named_with_what_is(shell: Shell, tmp_path: Path) -> None:
    await shell("put", "prompt", "--text", "hi")

    for verb in ("get", "history", "diff", "rollback", "devices explain d"):
        near = await shell(*verb.split(), "promt", status=1)
        assert near == "error: there is no key 'promt' in default; did you mean prompt?\n", verb
    assert "no version before" in await shell("diff", "prompt", status=1)
    a_directory = await shell("put", "prompt", str(tmp_path), status=1)
    assert a_directory.startswith(f"error: {tmp_path} is a directory; name one file")
    missing = await shell("export", "/nonexist/x", status=1)
    assert missing == "error: there is no directory /nonexist\n"
    assert "config-center token ls lists them" in await shell("token", "revoke", "no", status=1)
    assert await shell("trust", "revoke", "nope", status=1) == (
        "error: a signing key's name must be 16 digits of 0-9 and a-f, as config-center trust show "
        "lists them\n"
    )


async def test_namespaces_schemas_tokens_and_trust(shell: Shell, tmp_path: Path) -> None:
    await shell("namespace", "create", "prod", "--template", "gateway")
    assert "prod" in await shell("namespace", "ls")
    assert "llm" in await shell("schema", "get", "llm", "-n", "prod")
    await shell("schema", "set", "llm", "--kind", "llm")
    assert "type" in await shell("put", "llm", "--text", "{}", "--format", "json", status=1)
    token = (await shell("token", "create", "gw", "--instance", "gw-1")).strip()
    assert token.startswith("cc_")
    rows = orjson.loads(await shell("token", "ls", "--json"))
    (mine,) = (row for row in rows if row["name"] == "gw")
    await shell("token", "revoke", mine["id"])
    assert (await shell("trust")).startswith("ed25519:")
    await shell("namespace", "delete", "prod", "--yes")
    assert await shell("instances", "--json") == "[]\n"
    assert await shell("devices", "ls", "--json") == "[]\n"
    await shell("put", "greeting", "--text", "hi")
    assert "stable" in await shell("devices", "explain", "24:6f:28:a0:00:01", "greeting")


async def test_a_center_that_is_away_is_said(tmp_path: Path) -> None:
    away = Shell({"CONFIG_CENTER_URL": "http://127.0.0.1:1", "CONFIG_CENTER_TOKEN": "cc_x"})

    assert "cannot be reached" in await away("ls", status=1)


async def test_settings_are_explained(tmp_path: Path) -> None:
    bare = Shell({})

    assert "listen" in await bare("config", "check")
    assert "CONFIG_CENTER_SERVER__LISTEN" in await bare("config", "env")
    assert "|" in await bare("config", "doc")
    assert (await bare("version")).strip() == "0.1.0"
    assert "plain HTTP" in await bare("serve", "--listen", "0.0.0.0:1", status=1)


def test_a_store_where_nobody_answers_is_said_in_words(tmp_path: Path) -> None:
    nowhere = ("--redis", "redis://me:kT9vQx2LmWz7@127.0.0.1:1", "--listen", "127.0.0.1:0")
    words = [sys.executable, "-m", "config_center", "serve", *nowhere, "--data", str(tmp_path)]

    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)

    said = "error: nobody answers at redis://me:***@127.0.0.1:1, does the store run? ("
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
