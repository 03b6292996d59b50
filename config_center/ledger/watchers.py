"""
Whoever listens to a namespace, each with a bounded queue.

A listener that does not keep up is cut off, never waited for: its queue is closed with a reason, it
reads what it has and resumes from the last position it saw. So one slow reader costs its own bound
and nobody else's time. Rejected: dropping the oldest (a gap that the reader would not notice).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client_sdk.records import Beat, Record

_BOUND = 1000


class Watcher:
    """One listener. Iterate over it; it ends when it fell behind, or when the center stops."""

    def __init__(self, owner: Watchers, bound: int = _BOUND) -> None:
        self._owner = owner
        self._queue: asyncio.Queue[Record | Beat | None] = asyncio.Queue(bound + 1)
        self._bound = bound
        self.closed = False
        self.reason = ""

    def offer(self, message: Record | Beat) -> None:
        """Hand over a message; a full queue ends the watcher."""
        if self._queue.qsize() >= self._bound:
            self.close("too slow: resume from the last position you saw")
        elif not self.closed:
            self._queue.put_nowait(message)

    def close(self, reason: str) -> None:
        """End the iteration after what is queued."""
        if not self.closed:
            self.closed, self.reason = True, reason
            self._owner.remove(self)
            self._queue.put_nowait(None)

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> Record | Beat:
        message = await self._queue.get()
        if message is None:
            raise StopAsyncIteration
        return message

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close("left")


class Watchers:
    """All listeners of one namespace."""

    def __init__(self) -> None:
        self._all: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self) -> Watcher:
        """A new listener; it hears what is offered from now on."""
        watcher = Watcher(self)
        self._all.add(watcher)
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """Forget a listener."""
        self._all.discard(watcher)

    def offer(self, message: Record | Beat) -> None:
        """Hand a message to everybody."""
        for watcher in tuple(self._all):
            watcher.offer(message)

    def close(self, reason: str) -> None:
        """End all of them."""
        for watcher in tuple(self._all):
            watcher.close(reason)
