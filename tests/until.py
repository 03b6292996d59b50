"""Waiting for what a test can only look at: bounded, and never a guess at how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within: float = 30.0) -> None:
    """Let the loop run until ``condition()`` is true. Raises asyncio.TimeoutError."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), within)
