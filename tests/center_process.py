"""A center as a process of its own, to be killed: it and its private store, by pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from benchmarks.processes import free_port

_WITHIN = 60.0


class CenterProcess:
    """``url`` is stable over :meth:`kill` and :meth:`start`."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.url = f"http://127.0.0.1:{free_port()}"
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def log(self) -> str:
        return self.data.with_suffix(".log").read_text()

    async def start(self) -> None:
        listen = self.url.removeprefix("http://")
        with self.data.with_suffix(".log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "config_center", "serve"),
                *("--listen", listen, "--data", str(self.data), *self._arguments),
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(_WITHIN), aiohttp.ClientSession() as session:
            while not await self._is_ready(session):
                assert self._process.returncode is None, self.log[-2000:]
                await asyncio.sleep(0.05)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(self.url + "/readyz") as response:
                return response.status == 200
        return False

    async def kill(self) -> None:
        """kill -9: nothing is flushed, nobody is asked."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def kill_store(self) -> bool:
        """kill -9 of the private store; False when there is none at this moment."""
        with contextlib.suppress(OSError, IndexError):
            os.kill(self._store_pid, signal.SIGKILL)
            return True
        return False

    @property
    def store_socket(self) -> str:
        """Where the private store listens, as its command line says."""
        line = Path(f"/proc/{self._store_pid}/cmdline").read_bytes().decode()
        return line.partition("unixsocket:")[2].rstrip("\0 ")

    @property
    def _store_pid(self) -> int:
        assert self._process is not None
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _WITHIN)
            except TimeoutError:
                await self.kill()


@contextlib.asynccontextmanager
async def center_process(data: Path, *arguments: str) -> AsyncIterator[CenterProcess]:
    """A center that runs inside the block."""
    process = CenterProcess(data, *arguments)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
