"""The programs that `up` runs beside the center: each with an owner, a log line, and an end."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_STOP_WITHIN = 8.0


class Child:
    """One program of ours in a process of its own; its output goes to ``log``, line by line."""

    def __init__(self, name: str, log: Path, tell: Callable[[str], None]) -> None:
        self.name = name
        self._log = log
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(1000)
        self._stopping = False

    async def start(self, *arguments: str, environment: Mapping[str, str]) -> None:
        """Run ``python -m ARGUMENTS``."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C reaches `up` alone, which ends them in order
        )
        self._reader = asyncio.create_task(self._read(), name=f"output of {self.name}")

    async def line(self, beginning: str, within: float) -> str:
        """The first line that begins so. Raises ConfigError when it does not come in time."""
        try:
            async with asyncio.timeout(within):
                while (line := await self._lines.get()) is not None:
                    if line.startswith(beginning):
                        return line
        except TimeoutError:
            pass
        raise ConfigError(f"{self.name} did not start; its output is in {self._log}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a while."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_WITHIN)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with self._log.open("ab") as log:
            async for raw in process.stdout:
                log.write(raw)
                log.flush()
                if not self._lines.full():
                    self._lines.put_nowait(raw.decode("utf-8", "replace").rstrip())
        status = await process.wait()
        if not self._lines.full():
            self._lines.put_nowait(None)
        if not self._stopping:
            self._tell(f"{self.name} ended with status {status}; its output is in {self._log}")
