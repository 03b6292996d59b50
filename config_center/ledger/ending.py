"""
Ending a task for sure.

A cancellation can be lost on the way: redis-py's timeouts turn one that arrives at the wrong moment
into an error of their own, and the task goes on. So whoever ends a task asks until it has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any

_ASK_AGAIN = 0.2


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks until all have ended; what they raise is not looked at."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        done, waiting = await asyncio.wait(waiting, timeout=_ASK_AGAIN)
        for task in done:
            if not task.cancelled():
                task.exception()
