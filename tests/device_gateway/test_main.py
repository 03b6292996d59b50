"""__main__.py: the verbs as a person types them, as processes of their own."""

import asyncio
import json
import signal
import sys

import pytest
from typer.testing import CliRunner

from device_gateway.__main__ import app
from tests.device_gateway.world import MemoryClient, gateway


async def device_gateway(*words):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "device_gateway", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("verb", ["run", "status", "simulate", "stub-llm"])
def test_every_verb_has_help_with_an_example(verb):
    result = CliRunner().invoke(app, [verb, "--help"])

    assert result.exit_code == 0
    assert f"device-gateway {verb}" in result.output


def test_what_does_not_work_yet_does_not_appear():
    output = CliRunner().invoke(app, ["--help"]).output

    assert "reload" not in output
    assert "upgrade" not in output


@pytest.mark.parametrize(
    "words",
    [["nope"], ["simulate"], ["simulate", "u", "--devices", "0"], ["stub-llm", "--listen", "x"]],
)
def test_wrong_usage_is_two(words):
    assert CliRunner().invoke(app, words).exit_code == 2


async def test_simulate_is_content_with_a_gateway_and_says_so(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        status, out, err = await device_gateway(
            "simulate", running.ota_url, "--devices", "2", "--turns", "1", "--json"
        )

    assert (status, err) == (0, "")
    assert json.loads(out) == {"devices": 2, "turns": 2, "notices": 0, "problems": []}


async def test_simulate_fails_where_there_is_no_gateway():
    status, out, err = await device_gateway(
        "simulate", "http://127.0.0.1:9/", "--devices", "1", "--turns", "1"
    )

    assert status == 1
    assert out == "1 devices, 0 turns, 0 notices\n"
    assert "not one turn was answered" in err


async def test_status_shows_the_sessions_or_says_what_is_wrong(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        plain = await device_gateway("status", "--url", running.admin_url)
        as_json = await device_gateway("status", "--url", running.admin_url, "--json")
    gone = await device_gateway("status", "--url", "http://127.0.0.1:9/")

    assert plain == (0, "gateway-1: 0 connected, 0 known\n", "")
    assert json.loads(as_json[1])["items"] == []
    assert gone[0] == 1
    assert "is `run` up?" in gone[2]


async def test_the_stub_ends_cleanly_at_a_signal():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "device_gateway", "stub-llm", "--listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
    )
    line = await process.stdout.readline()
    process.send_signal(signal.SIGTERM)

    assert line.startswith(b"http://127.0.0.1:")
    assert await process.wait() == 0
