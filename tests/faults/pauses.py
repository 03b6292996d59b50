"""How long a machine stood still: what is measured meanwhile says nothing about the system."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

_LOOK = 0.02  # seconds between two looks at the clock


class Pauses:
    """``longest``: seconds for which the event loop should have run at a stretch and did not."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._looked = time.monotonic()

    def look(self) -> None:
        """Note how late we are."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self._looked - _LOOK)
        self._looked = now

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            self.look()


@contextlib.asynccontextmanager
async def pauses() -> AsyncIterator[Pauses]:
    """Those inside the block."""
    seen = Pauses()
    watching = asyncio.create_task(seen.watch())
    try:
        yield seen
    finally:
        seen.look()
        watching.cancel()
        await asyncio.wait([watching])
