"""
Whoever listens to a namespace, each with a bounded queue.

A listener that does not keep up is cut off, never waited for: its queue is closed with a reason, it
reads what it has and resumes from the last position it saw. So one slow reader costs its own bound
and nobody else's time. Rejected: dropping the oldest (a gap that the reader would not notice).

A message is handed to some of them in one turn of the event loop, to the others in the next ones,
each message in its order, or whoever asks for a key meanwhile waits behind all of them. One change
to 1,000 streams (``make bench BENCH=streams``): 2 at once hold the loop for 3.2 ms at most and the
last stream hears after 136; 1: 3.1 and 158; 8: 4.9 and 124; 32: 6.4 and 114; all: 84 and 118.
A request takes four turns, so what a turn lasts counts more than what all of them take. Rejected:
``asyncio.sleep(0)`` before each write (everybody is woken in every turn, to see that it is not
his).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.records import Beat, Record

_BOUND = 1000
AT_ONCE = 2


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
    """All listeners of one namespace; ``at_once`` of them hear in one turn of the loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self._all: set[Watcher] = set()
        self._waiting: deque[tuple[Callable[[Watcher], None], deque[Watcher]]] = deque()
        self._next: asyncio.Handle | None = None

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
        """Hand a message to everybody who is here now, after all that were offered before."""
        if len(self._waiting) >= _BOUND:
            self.close("too slow: resume from the last position you saw")
        self._tell(lambda watcher: watcher.offer(message))

    def close_behind(self, reason: str) -> None:
        """End everybody who is here now, each after all that was offered before."""
        self._tell(lambda watcher: watcher.close(reason))

    def _tell(self, word: Callable[[Watcher], None]) -> None:
        self._waiting.append((word, deque(self._all)))
        if self._next is None:
            self._hand_out()

    def _hand_out(self) -> None:
        self._next, left = None, self.at_once
        while self._waiting:
            word, audience = self._waiting[0]
            while audience and left:
                word(audience.popleft())
                left -= 1
            if audience:
                self._next = asyncio.get_running_loop().call_soon(self._hand_out)
                return
            self._waiting.popleft()

    def close(self, reason: str) -> None:
        """End all of them at once; what was not handed out yet they do not hear."""
        self._waiting.clear()
        for watcher in tuple(self._all):
            watcher.close(reason)
