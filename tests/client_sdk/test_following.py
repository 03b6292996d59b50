"""What a process dies of, it does not die of for ever: real processes, real deaths."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client_sdk import Client
from client_sdk.steps import Timing
from config_center.access import Actor
from config_center.center import Center
from tests.config_center.api.world import center
from tests.until import until

WITHIN = 20.0
_ACTOR = Actor("test", "admin")
QUICK = Timing(silence=0.3, pong=0.3, check=1.0, report=0.05, probation=0.2)

# Serves one key in one way, and dies of the value "deadly" in the way it is told.
_PROGRAM = """
import asyncio, os, sys
from client_sdk import Client
from client_sdk.steps import Timing

url, token, home, how, term = sys.argv[1:]

def died(settings):
    if settings == "deadly":
        os._exit(9)
    return [settings]

async def main():
    timing = Timing(silence=0.3, pong=0.3, check=1.0, report=0.05, probation=float(term))
    async with Client.connect(url, instance="gw-1", token=token, state=home, timing=timing,
                              report_every=0.1, timeout=30.0) as client:
        if how == "module":
            client.module("llm", lambda settings, previous: died(settings))
            await client.ready()
        ended = asyncio.Event()
        @client.on_change("llm")
        def changed(change):
            if how == "exception" and change.value == "deadly":
                ended.set()
            elif how == "listener":
                died(change.value)
            print(change.value, *client.status().held, flush=True)
        await ended.wait()
        raise RuntimeError(client.get("llm"))

asyncio.run(main())
"""


class Opened:
    """A center with a token of the instance."""

    def __init__(self, center: Center, token: str) -> None:
        self.center, self.token = center, token

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, data: Path) -> AsyncIterator[Opened]:
        async with center(data) as opened:
            about = {"name": "gw-1", "role": "instance", "instance": "gw-1"}
            made = await opened.service.create_token(about, _ACTOR)
            yield cls(opened, made["token"])

    async def publish(self, **values: object) -> None:
        ops = [{"op": "put", "key": key, "value": value} for key, value in values.items()]
        await self.center.service.change("default", ops, "", None, None, False, _ACTOR)

    def refused(self) -> set[tuple[str, str]]:
        """Step and key of every refusal that the center was told of."""
        items = self.center.service.instances("default", 100, None)["items"]
        rows = [(key, row) for one in items for key, row in one["keys"].items()]
        return {(row["step"], key) for key, row in rows if row.get("step")}


class Process:
    """One start of the program; ``says`` waits for a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, opened: Opened, home: Path, how: str, term: float = 60.0) -> Process:
        arguments = [opened.center.url, opened.token, str(home), how, str(term)]
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PROGRAM, *arguments, stdout=pipe, stderr=pipe
            )
        )

    async def says(self, line: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(WITHIN):
            while (found := (await self._process.stdout.readline()).decode().strip()) != line:
                assert found, await self.errors()

    async def errors(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    async def dies(self) -> None:
        async with asyncio.timeout(WITHIN):
            assert await self._process.wait() != 0

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@pytest.mark.parametrize("how", ["listener", "module", "exception"])
async def test_what_kills_two_processes_is_not_served_by_the_third(
    tmp_path: Path, how: str
) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        process = await Process.start(opened, home, how)
        await process.says("good")
        await opened.publish(llm="deadly", prompt="new")
        await process.dies()
        await (await Process.start(opened, home, how)).dies()

        third = await Process.start(opened, home, how)
        await third.says("good llm prompt")
        await until(lambda: ("crash", "llm") in opened.refused())
        await third.kill()

        fourth = await Process.start(opened, home, how)
        await fourth.says("good llm prompt")
        await opened.publish(llm="mended")
        await fourth.says("mended")
        await fourth.kill()


async def test_what_a_process_lived_with_is_not_blamed_for_its_end(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        first = await Process.start(opened, home, "listener", term=0.2)
        await first.says("good")
        await opened.publish(llm="better")
        await first.says("better")
        await until(lambda: b'"cases":[]' in (home / "probation").read_bytes())
        for process in (first, await Process.start(opened, home, "listener", term=60.0)):
            if process is not first:
                await process.says("better")
            await process.kill()

        async with Client.connect(
            opened.center.url, instance="gw-1", token=opened.token, state=home, timing=QUICK
        ) as client:
            assert (client.get("llm"), client.status().held) == ("better", ())


async def test_a_clean_end_soon_after_a_change_is_no_death_and_a_person_may_ask_again(
    tmp_path: Path,
) -> None:
    home, on_probation = tmp_path / "state", Timing(silence=0.3, pong=0.3, probation=60.0)
    async with Opened.at(tmp_path / "data") as opened:

        def connect() -> Client:
            return Client.connect(  # type: ignore[return-value]
                opened.center.url,
                instance="gw-1",
                token=opened.token,
                state=home,
                timing=on_probation,
                timeout=30.0,
            )

        await opened.publish(llm="good")
        async with connect() as client:
            await opened.publish(llm="better")
            await until(lambda: client.get("llm") == "better")
        for _ in range(3):
            async with connect() as client:
                assert (client.get("llm"), client.status().held) == ("better", ())

        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError):
                async with connect() as client:
                    assert client.get("llm") == "better"
                    raise ZeroDivisionError
        async with connect() as client:
            assert (client.get("llm"), client.status().held) == ("good", ("llm",))
            await client.retry()
            assert (client.get("llm"), client.status().held) == ("better", ())
