"""The client without await: one thread, reads that never wait for it."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client_sdk import ClientClosed, ForkedClient, Unavailable, UnknownKey
from client_sdk.client import Client as AsyncClient
from client_sdk.errors import UsageError
from client_sdk.steps import Timing
from client_sdk.sync import Client, LoopThread
from tests.config_center.api.world import center

QUICK = Timing(silence=0.3, pong=0.3, check=1.0)
WITHIN = 30.0


def connect(url: str, home: Path, token: str | None, **how: Any) -> Client:
    how.setdefault("timeout", 30.0)
    return Client.connect(
        url, instance="gw-1", token=token, state=home, timing=QUICK, report_every=0.1, **how
    )


class Heard:
    """Collects what a listener hears, and lets another thread wait for it."""

    def __init__(self) -> None:
        self.changes: list[Any] = []
        self._more = threading.Condition()

    def __call__(self, change: Any) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    def until(self, value: object) -> None:
        with self._more:
            assert self._more.wait_for(
                lambda: self.changes and self.changes[-1].value == value, WITHIN
            )


def _until(condition: Callable[[], bool]) -> None:
    """Waits in this thread: on a busy machine a link may be lost, and be taken again."""
    end = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_has_the_words_of_the_asynchronous_client() -> None:
    def words(kind: type) -> dict[str, list[str]]:
        functions = {name: each for name, each in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in functions}

    theirs = words(AsyncClient)
    internal = {"open"}
    own = vars(Client(_Bare(), None))  # type: ignore[arg-type]
    handed_on = {name for name in own if not name.startswith("_")}

    assert words(Client).keys() | handed_on == theirs.keys() - internal | {"unit", "turn"}
    assert all(theirs[name] == given for name, given in words(Client).items())


class _Bare:
    get = unit = turn = status = metrics = report_devices = None


async def test_a_program_without_a_loop_reads_publishes_and_hears(tmp_path: Path) -> None:
    async with center(tmp_path / "data") as opened:
        await asyncio.to_thread(_program, opened.url, tmp_path / "state", opened.admin_token)


def _program(url: str, home: Path, token: str) -> None:
    with connect(url, home, token) as client:
        heard = Heard()
        client.on_change("greeting")(heard)
        with pytest.raises(UnknownKey):
            client.get("greeting")
        assert client.put("greeting", "hello", comment="first")["version"] == 1
        heard.until("hello")
        module = client.module("greeting", lambda settings, previous: [settings])
        client.ready()
        with client.turn(client.unit("24:6f:28:a0:00:01", firmware="2.0")) as view:
            assert (view.get("greeting"), view.module("greeting")) == ("hello", ["hello"])
        assert module.ready
        _until(lambda: client.status().transport == "http")
        _until(lambda: client.metrics()["config_client_stale"] == 0.0)
    client.close()
    with pytest.raises(ClientClosed):
        client.put("greeting", "again")
    assert not [t for t in threading.enumerate() if t.name == "config client"]


def test_a_connect_that_fails_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no snapshot"):
        connect("http://127.0.0.1:1", tmp_path, None, timeout=0.3)

    assert not [t for t in threading.enumerate() if t.name == "config client"]


async def test_waiting_for_the_client_on_its_own_thread_is_refused(tmp_path: Path) -> None:
    answers: list[str] = []
    done = threading.Event()

    def program(url: str, token: str) -> None:
        with connect(url, tmp_path / "state", token) as client:

            @client.on_change("greeting")
            def changed(change: Any) -> None:
                try:
                    client.put("greeting", "from a listener")
                except UsageError as error:
                    answers.append(str(error))
                done.set()

            assert done.wait(WITHIN)

    async with center(tmp_path / "data") as opened:
        await asyncio.to_thread(program, opened.url, opened.admin_token)

    assert "own thread" in answers[0]


async def test_reads_do_not_wait_for_a_thread_that_is_blocked(tmp_path: Path) -> None:
    def program(url: str, token: str) -> None:
        with connect(url, tmp_path / "state", token) as client:
            client.put("greeting", "hello")
            heard = Heard()
            client.on_change("greeting")(heard)
            heard.until("hello")
            blocked, enough = threading.Event(), threading.Event()

            def block() -> None:
                blocked.set()
                enough.wait(WITHIN)

            client._thread._loop.call_soon_threadsafe(block)
            assert blocked.wait(WITHIN)
            unit = client.unit("24:6f:28:a0:00:01")
            with client.turn(unit) as view:
                read = client.get("greeting"), unit.get("greeting"), view.get("greeting")
            with pytest.raises(Unavailable, match="blocks it"):
                client._thread.run(lambda: asyncio.sleep(0), 0.05)
            enough.set()
            assert read == ("hello", "hello", "hello")

    async with center(tmp_path / "data") as opened:
        await asyncio.to_thread(program, opened.url, opened.admin_token)


async def test_a_forked_child_is_told_to_connect_anew(tmp_path: Path) -> None:
    def program(url: str, token: str) -> int:
        with connect(url, tmp_path / "state", token) as client:
            child = os.fork()
            if child == 0:
                wrong = 0
                for use in (lambda: client.get("x", None), lambda: client.put("x", 1)):
                    try:
                        use()
                    except ForkedClient:
                        continue
                    except BaseException:
                        pass
                    wrong += 1
                client.close()
                os._exit(wrong)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async with center(tmp_path / "data") as opened:
        assert await asyncio.to_thread(program, opened.url, opened.admin_token) == 0


async def test_a_program_that_ends_without_closing_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from client_sdk.sync import Client;"
        "client = Client.connect(sys.argv[1], instance='gw', token=sys.argv[2], state=sys.argv[3],"
        "timeout=30.0);"
        "print(client.status().transport)"
    )
    async with center(tmp_path / "data") as opened:
        arguments = [opened.url, opened.admin_token, str(tmp_path / "state")]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )

    assert (done.returncode, done.stdout.strip()) == (0, "http")
    assert "Traceback" not in done.stderr


def test_a_loop_thread_ends_its_tasks_when_it_stops() -> None:
    thread = LoopThread()
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return task

    thread.run(begin)
    thread.stop()

    assert ended == ["ended"]
    with pytest.raises(ClientClosed):
        thread.run(begin)


# -- 32 threads, 1,000 changes ---------------------------------------------------------------------

_THREADS, _CHANGES = 32, 1000
_KEYS = ("left", "right")


class Reader(threading.Thread):
    """Reads pairs that were published together until told to end; remembers what was wrong."""

    def __init__(self, client: Client, number: int, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self.reads = 0
        self.wrong: list[str] = []
        self._client = client
        self._unit = client.unit(f"24:6f:28:a0:00:{number:02x}")
        self._own_unit = number % 2 == 0
        self._end = end
        self._last = (0, 0)

    def run(self) -> None:
        while not self._end.is_set():
            with self._client.turn(self._unit if self._own_unit else None) as view:
                pair = [view.get(key, 0) for key in _KEYS]
                self._check(pair, tuple(view.position))
            self._client.get("left", 0)
            self._unit.get("right", 0)
            self.reads += 1
            time.sleep(0.005)  # as one that waits for its device: 32 that spin starve any thread

    def _check(self, pair: list[int], position: tuple[int, int]) -> None:
        if pair[0] != pair[1]:
            self.wrong.append(f"torn: {pair} at {position}")
        if position < self._last:
            self.wrong.append(f"backwards: {position} after {self._last}")
        self._last = position


@pytest.mark.no_cover
@pytest.mark.timeout(240)  # a busy neighbour makes it a multiple of what it takes alone
async def test_32_threads_never_see_half_a_change(tmp_path: Path) -> None:
    """Pairs, some as canaries by device: whoever reads one of them reads its mate."""
    async with center(tmp_path / "data") as opened:
        end = threading.Event()
        client = await asyncio.to_thread(
            connect, opened.url, tmp_path / "state", opened.admin_token
        )
        readers = [Reader(client, number, end) for number in range(_THREADS)]
        for reader in readers:
            reader.start()
        began = time.monotonic()
        try:
            for number in range(1, _CHANGES + 1):
                await _publish_pair(opened, number)
            await asyncio.to_thread(_until, lambda: client.get("left", 0) == _CHANGES)
            took = time.monotonic() - began
        finally:
            end.set()
            for reader in readers:
                await asyncio.to_thread(reader.join, WITHIN)
            await asyncio.to_thread(client.close)

    wrong = [each for reader in readers for each in reader.wrong]
    reads = sum(reader.reads for reader in readers)
    print(f"{_CHANGES} changes in {took:.1f} s, {reads} turns in {_THREADS} threads, {wrong[:3]}")
    assert wrong == []
    assert all(reader.reads for reader in readers)


async def _publish_pair(opened: Any, number: int) -> None:
    from config_center.access import Actor

    canary = number % 10 == 5
    rollout = {"percent": 50, "unit": "device"} if canary else None
    ops = [{"op": "put", "key": key, "value": number} for key in _KEYS]
    actor = Actor("test", "admin")
    supersede = number % 10 == 6
    await opened.service.change("default", ops, "", rollout, None, supersede, actor)
