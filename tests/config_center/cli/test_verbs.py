"""What every verb keeps: help with an example, one sentence when it fails, the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import signal
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
from tests.config_center.api.world import center

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
        *(["instances", "ls"], ["instances", "show", "i"]),
        *(["rollout", verb, "k"] for verb in ("status", "step", "pause", "resume")),
        *(["rollout", verb, "k"] for verb in ("promote", "abort")),
        *(["devices", "ls"], ["namespace", "ls"], ["token", "ls"], ["trust"]),
        *(["devices", "explain", "d", "k"], ["devices", "admit", "d"], ["devices", "refuse", "d"]),
        *(["namespace", "create", "n"], ["namespace", "delete", "n", "--yes"], ["whoami"]),
        *(["rollout", "ls"], ["schema", "ls"], ["audit", "ls"], ["trust", "show"]),
        *(["trust", "rotate"], ["trust", "retire", "k"], ["trust", "revoke", "k"]),
        ["trust", "records", "k"],
        *(["schema", "get", "k"], ["schema", "set", "k", "--kind", "llm"]),
        *(["token", "create", "t", "--role", "reader"], ["token", "revoke", "t"]),
        *(["orphans", "ls"], ["orphans", "replay", "i"], ["orphans", "drop", "i"]),
        ["orphans", "replay", "i", "--urgent", "-c", "why"],
        *(
            ["policy", "show"],
            ["policy", "set", "--staged"],
            ["draft", "ls"],
            ["draft", "show", "i"],
        ),
        *(["draft", verb, "i"] for verb in ("approve", "reject", "withdraw")),
        *(
            ["freeze", "--reason", "r", "--yes"],
            ["unfreeze"],
            ["put", "k", "--text", "v", "--draft"],
        ),
        ["restore", "--from-journal"],
        *(["secrets", verb] for verb in ("status", "new-key", "rotate", "seal")),
        *(["secrets", "drop-key", "i"], ["secrets", "reseal", "k"]),
        ["secrets", "shred", "k", "--version", "1", "--yes"],
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


@pytest.mark.parametrize("words", remote_verbs(), ids=" ".join)
def test_every_verb_that_asks_a_center_takes_json(words: list[str]) -> None:
    assert CliRunner().invoke(app, [*words, "--json"], env=AWAY).exit_code == 1


def test_every_verb_is_walked_here() -> None:
    local = {("serve",), ("up",), ("version",), ("completion",)}
    local |= {("config", each) for each in ("check", "env", "doc")}
    local |= {("export",), ("acl",), ("doctor",)}  # no JSON, asks nobody, looks by itself
    local |= {("audit", "export"), ("audit", "verify")}  # to a file, and of one
    local |= {("trust", each) for each in ("request", "sign", "install")}  # files too
    walked = {tuple(words[: len(verb)]) for words in remote_verbs() for verb in verbs()}

    assert set(verbs()) - local <= walked


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_is_a_script_of_the_shell(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])

    assert done.exit_code == 0
    assert "_CONFIG_CENTER_COMPLETE" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["put"],
        ["put", "k"],
        ["schema", "set", "k"],
        ["nonsense"],
        ["get", "k", "--nonsense"],
        ["rollout"],
        ["instances", "--json", "show", "i"],
    ],
)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words, env=AWAY).exit_code == 2


_WRONG: list[tuple[list[str | bytes], str]] = [
    (["put", "k", "no-such-file"], "--text"),
    (["put", "k", "binary.bin"], "binary.bin is not UTF-8 text"),
    (["put", "k", "--text", b"\xff"], "the text is not UTF-8 text"),
    (["schema", "set", "k", "--file", "binary.bin"], "binary.bin is not JSON"),
    (["schema", "set", "k", "--file", "."], "there is no file ."),
    (["schema", "set", "k", "--kind", "no-such-kind"], "there is no kind"),
    (["get", "no-such-key"], "no key"),
    (["rollout", "promote", "no-such-key"], "rollout"),
    (["put", "UPPER", "--text", "v"], "key"),
    (["put", "k", "--text", "v", "--percent", "101"], "percent"),
    (["ls", "--namespace", "NOT A NAMESPACE"], "namespace"),
    (["draft", "approve", "i", "--content", "0"], "0-9 and a-f, as config-center draft show"),
    (
        ["trust", "retire", "k"],
        "a signing key's name must be 16 digits of 0-9 and a-f, as config-center trust show",
    ),
    (["rollback", "no-such-key"], "there is no key 'no-such-key' in default"),
]


async def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary.bin").write_bytes(b"\xff\xfe\x00")
    async with center_process(tmp_path / "data") as center:
        for words, said in _WRONG:
            done = await run_in(tmp_path, center.url, *words)

            assert done.returncode == 1, words
            assert said in done.stderr
            assert len(done.stderr.splitlines()) == 1, done.stderr


async def test_on_the_machine_of_the_center_nothing_has_to_be_set(tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        put = await run_in(tmp_path, center.url, "put", "k", "--text", "v")
        cut = await run_in(tmp_path, center.url, "history", "k", "--json", pipe_to="true")
        full = await run_in(tmp_path, center.url, "get", "k", to="/dev/full")
        piped = await run_in(tmp_path, center.url, "put", "p", "-", given=b"caf\xc3\xa9")
        back = await run_in(tmp_path, center.url, "get", "p")
        binary = await run_in(tmp_path, center.url, "put", "p", "-", given=b"\xff\xfe")
        wrong = await run_in(tmp_path, center.url, "ls", CONFIG_CENTER_TOKEN="cc_" + "A" * 43)

    assert (put.returncode, put.stderr) == (0, "")
    assert cut.stderr == ""
    assert (full.returncode, full.stderr) == (1, "error: No space left on device\n")
    assert (piped.returncode, back.stdout) == (0, "café\n")
    assert (binary.returncode, binary.stderr) == (1, "error: standard input is not UTF-8 text\n")
    assert (wrong.returncode, wrong.stderr) == (
        1,
        "error: this token (CONFIG_CENTER_TOKEN) is not known here; it may have been revoked\n",
    )


async def test_a_key_with_a_canary_says_how_to_go_on_and_rollback_says_what_it_did(
    tmp_path: Path,
) -> None:
    async with center(tmp_path / "data") as opened:
        environment = {
            "CONFIG_CENTER_URL": opened.url,
            "CONFIG_CENTER_TOKEN": opened.admin_token,
            "COLUMNS": "200",
        }

        async def verb(*words: str) -> tuple[int, str]:
            done = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
            return done.exit_code, done.output

        await verb("put", "k", "--text", "one")
        await verb("put", "k", "--text", "two", "--percent", "10")
        status, refused = await verb("put", "k", "--text", "three", "--percent", "20")
        assert (status, "promote or abort it first" in refused) == (1, True)
        status, instead = await verb(
            "put", "k", "--text", "three", "--percent", "20", "--supersede"
        )
        assert (status, "version 3 goes to 20 % of the devices" in instead) == (0, True)

        status, aborted = await verb("rollback", "k")
        assert (status, aborted.endswith("everybody has the stable version\n")) == (0, True)
        assert "was aborted" in aborted
        await verb("put", "k", "--text", "four")
        await verb("put", "k", "--text", "five", "--percent", "10")
        _, during = await verb("history", "k")
        header, *lines = during.splitlines()
        at, end = header.index("SERVED TO"), header.index("WHEN")
        assert [line[at:end].strip() for line in lines] == [
            *("10 % running", "the others", "", "", "")
        ]
        status, refused = await verb("rollback", "k", "--to", "1")
        assert (status, "give --supersede, which aborts it" in refused) == (1, True)
        status, _ = await verb("rollback", "k", "--to", "4", "--supersede")
        assert status == 0
        assert (await verb("rollback", "k"))[1].endswith("the content of version 1 again\n")
        _, after = await verb("history", "k")
        assert "everybody" in after.splitlines()[1]
        assert "[back to 1]" in after.splitlines()[1]
        status, refused = await verb("rollback", "k")
        assert (status, "--to N goes to any of them" in refused) == (1, True)
        assert await verb("rollback", "k", "--to", "99") == (1, "error: k has no version 99\n")
        _, noted = await verb("put", "k", "--text", '{"a": 1}')
        assert "--format json makes it a value" in noted
        _, missing = await verb("get", "kk")
        assert missing.endswith("did you mean k?\n")
        assert await verb("whoami") == (0, "admin: admin, all namespaces\n")


async def test_a_watch_goes_on_where_it_broke(tmp_path: Path) -> None:
    async with center_process(tmp_path / "data") as center:
        environment = {"CONFIG_CENTER_URL": center.url, "CONFIG_CENTER_TOKEN": center.token}
        watch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "config_center", "watch"),
            env={"PYTHONPATH": str(Path(__file__).parents[3]), **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert watch.stdout is not None
            assert watch.stderr is not None
            async with asyncio.timeout(100):
                line = b""
                while not line:  # it does not say when it listens
                    await run_in(tmp_path, center.url, "put", "k", "--text", "before")
                    with contextlib.suppress(TimeoutError):
                        line = await asyncio.wait_for(watch.stdout.readline(), 0.5)
                await center.kill()
                assert b"broke; resuming after " in await watch.stderr.readline()
                await center.start()
                await run_in(tmp_path, center.url, "schema", "set", "after", "--kind", "prompt")
                await run_in(tmp_path, center.url, "put", "after", "--text", "v")
                seen = []
                while b"after (set)" not in line:
                    line = await watch.stdout.readline()
                    assert line not in seen
                    seen.append(line)
                assert b"after bound to prompt\n" in b"".join(seen)
        finally:
            watch.send_signal(signal.SIGINT)
            await watch.communicate()
    assert watch.returncode == 130


async def run_in(
    home: Path,
    url: str,
    *words: str | bytes,
    pipe_to: str = "cat",
    to: str = "",
    given: bytes = b"",
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """A verb as a process, its output piped on as in a shell."""
    environment = {"CONFIG_CENTER_URL": url, "PATH": "/usr/bin:/bin", "COLUMNS": "200", **more}
    script = f'"$@" > {to}' if to else 'set -o pipefail; "$@" | ' + pipe_to
    program = (sys.executable, "-m", "config_center", *words)
    pythonpath = str(Path(__file__).parents[3])
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", script, "bash", *program],
        cwd=home,
        env={**environment, "PYTHONPATH": pythonpath},
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
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


async def test_what_an_instance_refused_is_said_with_its_reason(tmp_path: Path) -> None:
    applied = {"version": 3, "state": "applied"}
    refused = {"version": 4, "state": "refused", "step": "probe", "reason": "401 from the provider"}
    row = {"instance": "gw-1", "keys": {"prompt": applied, "llm": refused}}

    async def instances(request: web.Request) -> web.Response:
        return web.json_response({"items": [row], "next": None})

    server = web.Application()
    server.router.add_get("/v1/namespaces/default/instances", instances)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        done = await run_in(tmp_path, url, "instances")
        one = await run_in(tmp_path, url, "instances", "show", "gw-1")
        none = await run_in(tmp_path, url, "instances", "show", "gw-2")
    finally:
        await runner.cleanup()

    assert "prompt=3 llm=4!refused" in done.stdout
    assert done.stderr == "gw-1 refused llm: probe: 401 from the provider\n"
    assert one.stdout.splitlines()[-2:] == [
        "llm version 4 refused: probe: 401 from the provider",
        "prompt version 3 applied",
    ]
    said = "error: no instance 'gw-2' was seen in default; did you mean gw-1?\n"
    assert (none.returncode, none.stderr) == (1, said)
