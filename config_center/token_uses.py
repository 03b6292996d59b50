"""
When each token was last used: for whoever wants to revoke one and asks whether somebody would miss
it.

Kept in memory, a dictionary entry a request, and written to ``token-uses.json`` in the data
directory every five minutes when something changed, and at the end. So what may be lost is what a
center saw in its last five minutes before it was killed, and all of it with the directory; nothing
else depends on it. Each center knows what it was asked itself, and says so for the others' sake:
with several centers on one store the newest of their answers counts.

Rejected: the tokens' records (a write to the store a request, and a history of nothing else); the
journal (kept for months, pruned by rules that are about content).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import orjson

from client_sdk.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

log = logging.getLogger(__name__)

FILE = "token-uses.json"
_EVERY = 300.0  # seconds


class TokenUses:
    """Notes in memory; with :meth:`open` also on disk. ``known`` says which tokens there are."""

    def __init__(self, known: Callable[[], Container[str]]) -> None:
        self._known = known
        self._last: dict[str, int] = {}
        self._dirty = False
        self._path: Path | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, token_id: str, now_ms: int) -> None:
        """This token was used now."""
        self._last[token_id] = now_ms
        self._dirty = True

    def last(self, token_id: str) -> int | None:
        """When it was used last, in milliseconds since 1970; None: not that this center knows."""
        return self._last.get(token_id)

    async def open(self, path: Path, every: float = _EVERY) -> None:
        """Read what is there, and write to it from now on, every so many seconds."""
        self._path = path
        self._last = {**await asyncio.to_thread(_read, path), **self._last}
        self._task = asyncio.create_task(self._keep(every), name="token uses")

    async def close(self) -> None:
        """Write what is new, and no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.write()

    async def write(self) -> None:
        """Bring the file up to now; a disk that does not take it costs these notes and no more."""
        if self._path is None or not self._dirty:
            return
        self._dirty = False
        known = self._known()
        self._last = {name: at for name, at in self._last.items() if name in known}
        try:
            await asyncio.to_thread(write_private, self._path, orjson.dumps(self._last))
        except OSError as error:
            self._dirty = True
            log.warning("%s cannot be written: %s", self._path, error.strerror or error)

    async def _keep(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            await self.write()


def _read(path: Path) -> dict[str, int]:
    """What was written; nothing where there is no such file, or one that cannot be read."""
    try:
        found = orjson.loads(path.read_bytes())
        return {str(name): int(at) for name, at in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s does not say when tokens were used last: %s", path, error)
        return {}
