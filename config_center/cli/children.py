"""
The programs that `up` runs beside the center: each with an owner, a log, and an end.

A child never outlives `up`: it is stopped in order, and the kernel ends it when `up` is killed
(:mod:`config_center.leash`). One that ends by itself after it was up is said and started again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError
from config_center import leash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_STOP_WITHIN = 8.0
_CHUNK = 1 << 16
_RESTART_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, the last one for ever
_SETTLED = 60.0  # seconds up after which an end counts as the first one again


class Child:
    """One program of ours in a process of its own; what it prints goes to ``log``."""

    def __init__(
        self,
        name: str,
        log: Path,
        tell: Callable[[str], None],
        delays: tuple[float, ...] = _RESTART_DELAYS,
    ) -> None:
        self.name = name
        self._log = log
        self._tell = tell
        self._delays = delays
        self._environment: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[int] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(1000)

    async def start(self, *arguments: str, environment: Mapping[str, str]) -> None:
        """Run ``python -m ARGUMENTS``."""
        self._environment = dict(environment)
        await self._run(arguments)

    async def line(self, beginning: str, within: float) -> str:
        """The first line that begins so. Raises ConfigError when it does not come in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while (line := await self._lines.get()) is not None:
                    if line.startswith(beginning):
                        return line
        raise ConfigError(f"{self.name} did not start; its output is in {self._log}")

    def keep(self, *arguments: str) -> None:
        """From now on run ``python -m ARGUMENTS`` whenever it ends by itself."""
        self._keeper = asyncio.create_task(self._keep(arguments), name=f"keeper of {self.name}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after a while."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_WITHIN)
            except TimeoutError:
                self.kill()
        if self._reader is not None:
            await self._reader

    def kill(self) -> None:
        """SIGKILL, without waiting."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _run(self, arguments: tuple[str, ...]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), leash.NO_LOCK),
            *(sys.executable, "-m", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches `up` alone, which ends them in order
        )
        self._reader = asyncio.create_task(self._read(self._process), name=f"output of {self.name}")

    async def _keep(self, arguments: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        ends = 0
        while self._reader is not None:
            began = loop.time()
            status = await asyncio.shield(self._reader)
            ends = 1 if loop.time() - began > _SETTLED else ends + 1
            delay = self._delays[min(ends, len(self._delays)) - 1]
            self._tell(
                f"{self.name} ended with status {status} and starts again in {delay:g} s; "
                f"its output is in {self._log}"
            )
            await asyncio.sleep(delay)
            await self._run(arguments)

    async def _read(self, process: asyncio.subprocess.Process) -> int:
        """Its exit status, once it closed its output."""
        rest = b""
        with self._log.open("ab") as log:
            while process.stdout is not None and (chunk := await process.stdout.read(_CHUNK)):
                log.write(chunk)
                log.flush()
                *lines, rest = (rest[-_CHUNK:] + chunk).split(b"\n")
                for line in lines:
                    self._offer(line.decode("utf-8", "replace").rstrip())
        status = await process.wait()
        self._offer(None)
        return status

    def _offer(self, line: str | None) -> None:
        """To whoever waits for the first lines; nobody does later, and then it is dropped."""
        with suppress(asyncio.QueueFull):
            self._lines.put_nowait(line)
