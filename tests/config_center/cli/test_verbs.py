"""What every verb keeps: help with an example, one sentence when it fails, the exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner

from client_sdk.settings import ClientSettings
from config_center.__main__ import app
from config_center.cli.remote import Remote
from tests.center_process import center_process

AWAY = {"CONFIG_CENTER_URL": "http://127.0.0.1:1", "CONFIG_CENTER_TOKEN": "cc_" + "A" * 43}


def verbs(group: object = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb as it is typed."""
    command = typer.main.get_command(app) if group is None else group
    for name, each in command.commands.items():  # type: ignore[attr-defined]
        if hasattr(each, "commands"):
            yield from verbs(each, (*path, name))
        else:
            yield (*path, name)


def remote_verbs() -> list[list[str]]:
    """Each verb that asks a center, with what it needs."""
    return [
        *(["put", "k", "--text", "v"], ["get", "k"], ["ls"], ["rm", "k"], ["history", "k"]),
        *(["diff", "k"], ["rollback", "k"], ["watch"], ["instances"]),
        *(["rollout", verb, "k"] for verb in ("status", "step", "pause", "resume")),
        *(["rollout", verb, "k"] for verb in ("promote", "abort")),
        *(["devices", "ls"], ["namespace", "ls"], ["token", "ls"], ["trust"]),
    ]


@pytest.mark.parametrize("verb", list(verbs()), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*verb, "--help"])

    assert done.exit_code == 0
    assert "Example: config-center " + verb[0] in done.output


@pytest.mark.parametrize("words", remote_verbs(), ids=" ".join)
def test_a_center_that_is_away_is_one_sentence_and_status_1(words: list[str]) -> None:
    done = CliRunner().invoke(app, words, env=AWAY)

    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "127.0.0.1:1" in line


@pytest.mark.parametrize("words", [["put"], ["nonsense"], ["get", "k", "--nonsense"], ["rollout"]])
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words, env=AWAY).exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["put", "k", "no-such-file"], "--text"),
        (["put", "k", "binary.bin"], "UTF-8"),
        (["get", "no-such-key"], "no key"),
        (["rollout", "promote", "no-such-key"], "rollout"),
        (["put", "UPPER", "--text", "v"], "key"),
        (["put", "k", "--text", "v", "--percent", "101"], "percent"),
        (["ls", "--namespace", "NOT A NAMESPACE"], "namespace"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
async def test_what_is_wrong_is_said_in_one_sentence(
    tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "binary.bin").write_bytes(b"\xff\xfe\x00")
    async with center_process(tmp_path / "data") as center:
        done = await run_in(tmp_path, center.url, *words)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_on_the_machine_of_the_center_nothing_has_to_be_set(tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        put = await run_in(tmp_path, center.url, "put", "k", "--text", "v")
        cut = await run_in(tmp_path, center.url, "history", "k", "--json", pipe_to="true")

    assert (put.returncode, put.stderr) == (0, "")
    assert "Traceback" not in cut.stderr


async def run_in(
    home: Path, url: str, *words: str, pipe_to: str = "cat"
) -> subprocess.CompletedProcess[str]:
    """A verb as a process, its output piped on as in a shell."""
    import asyncio

    environment = {"CONFIG_CENTER_URL": url, "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    script = 'set -o pipefail; "$@" | ' + pipe_to
    program = (sys.executable, "-m", "config_center", *words)
    pythonpath = str(Path(__file__).parents[3])
    return await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", script, "bash", *program],
        cwd=home,
        env={**environment, "PYTHONPATH": pythonpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_change_whose_answer_is_lost_is_asked_for_again_under_the_same_key() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Idempotency-Key"])
        if len(asked) == 1:
            request.transport.abort()  # type: ignore[union-attr]
        if len(asked) == 2:
            problem = {"type": "urn:config-center:problem:outcome-unknown", "detail": "?"}
            return web.json_response(problem, status=504)
        return web.json_response({"version": 1})

    server = web.Application()
    server.router.add_put("/{tail:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        remote = Remote(ClientSettings.from_environment({"CONFIG_CENTER_URL": url}))
        assert await remote.call("PUT", remote.key("k"), {"value": 1}) == {"version": 1}
    finally:
        await runner.cleanup()

    assert len(asked) == 3
    assert len(set(asked)) == 1
    assert issubclass(aiohttp.ServerDisconnectedError, aiohttp.ClientError)
