"""What a process dies of, it does not die of for ever: real processes, real deaths."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from client_sdk import Client, StateInUse
from client_sdk.kept_back import KeptBack
from client_sdk.snapshot import Snapshots
from client_sdk.steps import Timing
from client_sdk.testing import MemoryCenter
from config_center.access import Actor
from config_center.center import Center
from tests.config_center.api.world import center
from tests.until import until

WITHIN = 30.0
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
    connecting = Client.connect(url, instance="gw-1", token=token, state=home, timing=timing,
                                report_every=0.1, timeout=30.0)
    if how == "leaves":
        client = await connecting
        print(client.get("llm"), flush=True)
        better = asyncio.Event()
        client.on_change("llm")(lambda change: change.value == "better" and better.set())
        await better.wait()
        return
    async with connecting as client:
        if how == "module":
            client.module("llm", lambda settings, previous: died(settings))
            await client.ready()
        ended = asyncio.Event()
        @client.on_change("llm")
        def changed(change):
            if how == "exception" and change.value == "deadly":
                ended.set()
            elif how == "forks" and change.value == "deadly":
                ended.set()
            elif how == "listener":
                died(change.value)
            print(change.value, *client.status().held, flush=True)
        await ended.wait()
        if how == "forks":
            if not (child := os.fork()):
                sys.exit(0)
            os.waitpid(child, 0)
            os._exit(9)
        raise RuntimeError(client.get("llm"))

asyncio.run(main())
"""


class Opened:
    """A center with a token of the instance."""

    def __init__(self, center: Center, token: str) -> None:
        self.center, self.token = center, token
        self.processes: list[asyncio.subprocess.Process] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, data: Path) -> AsyncIterator[Opened]:
        async with center(data) as opened:
            about = {"name": "gw-1", "role": "instance", "instance": "gw-1"}
            made = await opened.service.tokens.create(about, _ACTOR)
            self = cls(opened, made["token"])
            try:
                yield self
            finally:
                for process in self.processes:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # with what it forked
                    await process.wait()

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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            *arguments,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        opened.processes.append(process)
        return cls(process)

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

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN):
            return await self._process.wait()

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


async def test_a_forked_child_that_ends_well_speaks_for_itself_only(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        process = await Process.start(opened, home, "forks")
        await process.says("good")
        await opened.publish(llm="deadly")
        await process.dies()
        notes: list[str] = []
        (case,) = KeptBack(home, opened.token).read_probation(notes).cases

    assert (case.deaths, notes) == (1, [])


async def test_what_a_process_lived_with_is_not_blamed_for_its_end(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        first = await Process.start(opened, home, "listener", term=0.2)
        await first.says("good")
        await opened.publish(llm="better")
        await first.says("better")
        await until(lambda: b'"cases":[]' in (home / "probation").read_bytes())
        await first.kill()
        second = await Process.start(opened, home, "listener", term=60.0)
        await second.says("better")
        await second.kill()

        async with Client.connect(
            opened.center.url, instance="gw-1", token=opened.token, state=home, timing=QUICK
        ) as client:
            assert (client.get("llm"), client.status().held) == ("better", ())


def connect(opened: Opened, home: Path, **how: object) -> Client:
    timing = Timing(silence=0.3, pong=0.3, probation=60.0, patience=WITHIN)
    how = {"timing": timing, "timeout": WITHIN, **how}
    return Client.connect(  # type: ignore[return-value]
        opened.center.url, instance="gw-1", token=opened.token, state=home, **how
    )


def build(settings: str, previous: object) -> list[str]:
    if settings.startswith("bad"):
        raise ValueError(settings)
    return [settings]


async def with_a_bad_version(opened: Opened, home: Path, **beside: object) -> None:
    """A process that had a module, whose newest version it refused with what came beside it."""
    await opened.publish(llm="good", prompt="old")
    async with connect(opened, home) as client:
        client.module("llm", build)
        await client.ready()
        await opened.publish(llm="bad", **beside)
        await until(lambda: client.status().held)


async def test_a_bad_version_that_came_between_two_processes_does_not_take_the_good_one_along(
    tmp_path: Path,
) -> None:
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        async with connect(opened, tmp_path / "state") as client:
            client.module("llm", build)
            await client.ready()
        await opened.publish(llm="bad")

        async with connect(opened, tmp_path / "state") as client:
            assert (client.get("llm"), client.status().held) == ("good", ("llm",))
            client.module("llm", build)
            await client.ready()
            with client.turn() as view:
                assert view.module("llm") == ["good"]


async def test_what_was_held_for_a_module_that_nobody_declares_any_more_is_let_go(
    tmp_path: Path,
) -> None:
    async with Opened.at(tmp_path / "data") as opened:
        await with_a_bad_version(opened, tmp_path / "state", prompt="new")
        brief = Timing(silence=0.3, pong=0.3, probation=0.02)

        async with connect(opened, tmp_path / "state", timing=brief) as client:
            await until(lambda: client.get("prompt") == "new")
            await opened.publish(prompt="newer")
            await until(lambda: client.get("prompt") == "newer")
            assert client.status().held == ()


async def test_a_change_that_joins_what_sleeps_is_on_disk_as_held_before_its_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, half of the change served after the restart."""
    written: list[str] = []
    real = {"held": KeptBack.write_held, "snapshot": Snapshots.advance}

    def noting(name: str) -> object:
        def write(self: object, *given: object, **more: object) -> None:
            written.append(name)
            real[name](self, *given, **more)  # type: ignore[operator]

        return write

    async with Opened.at(tmp_path / "data") as opened:
        await with_a_bad_version(opened, tmp_path / "state")
        await opened.publish(llm="mended", prompt="newest")
        monkeypatch.setattr(KeptBack, "write_held", noting("held"))
        monkeypatch.setattr(Snapshots, "advance", noting("snapshot"))

        async with connect(opened, tmp_path / "state") as client:
            assert (client.get("llm"), client.get("prompt")) == ("good", "old")
            assert written[:2] == ["held", "snapshot"]
            client.module("llm", build)
            await client.ready()
            assert (client.get("llm"), client.get("prompt")) == ("mended", "newest")


async def test_what_was_held_goes_with_the_snapshots_that_it_was_about(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await with_a_bad_version(opened, home)
        for base in home.glob("*.base"):
            base.write_bytes(b"")
        await opened.publish(llm="mended")
        async with connect(opened, home) as client:
            assert client.get("llm") == "mended"

        async with connect(opened, home) as client:
            assert (client.get("llm"), client.status().held) == ("mended", ())


async def test_a_program_that_ends_without_closing_is_no_death(tmp_path: Path) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        for _ in range(3):
            process = await Process.start(opened, home, "leaves")
            if _ == 0:
                await process.says("good")
                await opened.publish(llm="better")
            assert await process.ended() == 0
        async with connect(opened, home) as client:
            assert (client.get("llm"), client.status().held) == ("better", ())


async def test_a_clean_end_soon_after_a_change_is_no_death_and_a_person_may_ask_again(
    tmp_path: Path,
) -> None:
    home = tmp_path / "state"
    async with Opened.at(tmp_path / "data") as opened:
        await opened.publish(llm="good")
        async with connect(opened, home) as client:
            await opened.publish(llm="better")
            await until(lambda: client.get("llm") == "better")
        for _ in range(3):
            async with connect(opened, home) as client:
                assert (client.get("llm"), client.status().held) == ("better", ())

        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError):
                async with connect(opened, home) as client:
                    assert client.get("llm") == "better"
                    raise ZeroDivisionError
        async with connect(opened, home) as client:
            assert (client.get("llm"), client.status().held) == ("good", ("llm",))
            await client.retry()
            assert (client.get("llm"), client.status().held) == ("better", ())


async def test_the_directory_is_held_until_what_was_being_written_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is cancelled again and again until it ends: each time it has to wait for the disk."""
    begun, goes_on = threading.Event(), threading.Event()
    advance = Snapshots.advance

    def slow(self: Snapshots, *given: Any) -> None:
        begun.set()
        goes_on.wait(WITHIN)
        advance(self, *given)

    async with MemoryCenter({"prompt": "one"}) as center:
        client = await center.connect(state=tmp_path)
        monkeypatch.setattr(Snapshots, "advance", slow)
        center.publish("prompt", "two")
        await asyncio.to_thread(begun.wait, WITHIN)
        closing = asyncio.create_task(client.close())
        await asyncio.wait({closing}, timeout=0.6)  # in which it is cancelled three times

        with pytest.raises(StateInUse):
            Snapshots(tmp_path, "default").open()
        goes_on.set()
        await closing
        Snapshots(tmp_path, "default").open()


async def test_a_start_that_is_cancelled_leaves_the_directory_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    opened = Snapshots.open

    def slow(self: Snapshots) -> None:
        begun.set()
        goes_on.wait(WITHIN)
        opened(self)

    async with MemoryCenter({"prompt": "one"}) as center:
        monkeypatch.setattr(Snapshots, "open", slow)
        starting = asyncio.ensure_future(center.connect(state=tmp_path))
        await asyncio.to_thread(begun.wait, WITHIN)
        starting.cancel()
        await asyncio.wait({starting}, timeout=0.2)
        goes_on.set()
        await asyncio.wait({starting})

        async with center.connect(state=tmp_path) as client:
            assert client.get("prompt") == "one"


async def test_what_is_held_is_written_down_once_the_disk_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = KeptBack.write_held

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    async with MemoryCenter({"llm": "good"}) as center:
        async with center.connect(state=tmp_path) as client:
            client.module("llm", build)
            await client.ready()
            monkeypatch.setattr(KeptBack, "write_held", full)
            center.publish("llm", "bad")
            await until(lambda: client.status().held)
            await until(lambda: not client.status().durable)
            monkeypatch.setattr(KeptBack, "write_held", write)
            center.publish("other", 1)
            await until(lambda: client.status().durable)

        async with center.connect(state=tmp_path) as client:
            client.module("llm", build)
            await client.ready()
            assert (client.get("llm"), client.status().held) == ("good", ("llm",))


async def test_a_change_is_on_probation_before_it_is_on_disk_whoever_is_tried_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_probation: list[set[str]] = []
    advance = Snapshots.advance

    def noting(self: Snapshots, *given: Any) -> None:
        cases = self.kept_back.read_probation([]).cases
        on_probation.append({key for case in cases for key in case.older})
        advance(self, *given)

    goes_on = asyncio.Event()

    async def slow(settings: str, previous: object) -> list[str]:
        await goes_on.wait()
        return [settings]

    async with MemoryCenter({"llm": "one", "prompt": "one"}) as center:
        timing = Timing(probation=60.0)
        async with center.connect(state=tmp_path, timing=timing) as client:
            client.module("llm", slow)
            await asyncio.sleep(0)
            await until(lambda: client._serving._lock.locked())
            asked = asyncio.create_task(client.retry())  # queues before the change does
            await asyncio.sleep(0)
            monkeypatch.setattr(Snapshots, "advance", noting)
            position = center.publish("prompt", "two")
            await until(lambda: client._following._unwritten is not None)
            goes_on.set()
            await asked
            await until(lambda: client.status().position == position)

    assert on_probation == [{"prompt"}]


async def test_a_trial_that_goes_on_while_the_client_ends_well_is_no_death(tmp_path: Path) -> None:
    async with MemoryCenter({"llm": "one"}) as center:
        client = await center.connect(state=tmp_path, timing=Timing(probation=60.0))
        center.publish("llm", "two")
        await center.served(client)
        following = client._following
        close = following.reporter.close

        async def later() -> None:
            await following.retry(crashed=False)
            await close()

        following.reporter.close = later  # type: ignore[method-assign]
        await client.close()

        (case,) = KeptBack(tmp_path, "memory").read_probation([]).cases
        assert case.deaths == 0


async def test_a_close_that_is_given_up_goes_on_and_the_next_waits_for_it(tmp_path: Path) -> None:
    closed: list[str] = []
    async with MemoryCenter({"llm": "one"}) as center:
        client = await center.connect(state=tmp_path)
        client.module("llm", lambda settings, previous: settings, close=closed.append)
        await client.ready()
        with client.turn():
            first = asyncio.create_task(client.close())
            await asyncio.wait({first}, timeout=0.2)
            first.cancel()
            second = asyncio.create_task(client.close())
            await asyncio.wait({second}, timeout=0.2)

            assert (first.cancelled(), second.done(), closed) == (True, False, [])
        await second

    assert closed == ["one"]


@pytest.mark.parametrize("size", [10, 20_000])
@pytest.mark.parametrize("path", ["http", "redis"])
async def test_a_secret_of_a_change_of_any_size_is_opened_at_once(
    tmp_path: Path, path: str, size: int
) -> None:
    """What is large is announced by its hash: its data key is looked for all the same."""
    properties = {"secret": {"type": "string", "writeOnly": True}, "text": {"type": "string"}}
    schema = {"json_schema": {"type": "object", "properties": properties}}
    async with Opened.at(tmp_path / "data") as opened:
        center = opened.center
        await center.service.set_schema("default", "llm", schema, _ACTOR)
        await opened.publish(llm={"secret": "one", "text": ""})
        async with Client.connect(
            center.url if path == "http" else center.store_url,
            instance="gw-1",
            token=opened.token,
            state=tmp_path / "state",
            trust=str(tmp_path / "data" / "trust.json"),
            secret_key=str(tmp_path / "data" / "secrets.key"),
            timeout=WITHIN,
        ) as client:
            client.module("llm", lambda settings, previous: settings["secret"])
            await client.ready()
            await opened.publish(llm={"secret": "two", "text": "x" * size})
            reached = center.registry.get("default").state.position
            await until(lambda: client.status().position == reached)

            with client.turn() as view:
                assert (view.module("llm"), client.status().held) == ("two", ())


async def test_a_refusal_is_heard_of_in_a_namespace_of_many_keys(tmp_path: Path) -> None:
    """A center keeps a bounded number of them, and takes reports of a bounded size."""
    async with Opened.at(tmp_path / "data") as opened:
        for begin in (0, 600):
            await opened.publish(**{f"k{n}": n for n in range(begin, begin + 600)})
        await opened.publish(zz="good")
        async with connect(opened, tmp_path / "state", report_every=0.1) as client:
            client.module("zz", build)
            await client.ready()
            await opened.publish(zz="bad")

            await until(lambda: ("build", "zz") in opened.refused())
        fleet = opened.center.service.instances
        (before,) = fleet("default", 1, None)["items"]
        async with connect(opened, tmp_path / "state", report_every=0.1) as client:  # a whole one
            client.module("zz", build)
            await client.ready()

            def again() -> bool:
                (now,) = fleet("default", 1, None)["items"]
                return now["incarnation"] != before["incarnation"]

            await until(lambda: again() and ("build", "zz") in opened.refused())
