"""
Whoever listens to a namespace, each with a bounded queue.

A listener that does not keep up is cut off, never waited for: its queue is closed with a reason, it
reads what it has and resumes from the last position it saw. So one slow reader costs its own bound
and nobody else's time. Rejected: dropping the oldest (a gap that the reader would not notice).

A message is handed to some of them in one turn of the event loop, to the others in the next ones,
each message in its order, or whoever asks for a key meanwhile waits behind all of them. One change
to 1,000 streams (``make bench BENCH=streams``): 2 at once hold the loop for 7.6 ms at most and the
last stream hears after 145; 1: 6.2 and 207; 8: 7.5 and 184; 32: 9.1 and 150; all: 106 and 128.
A request takes four turns, so what a turn lasts counts more than what all of them take. Where turns
are long because of others, more hear in each (client_sdk/turns.py): no rate of requests may keep a
beat from 1,000 streams for longer than a client takes for silence. Rejected:
``asyncio.sleep(0)`` before each write (everybody is woken in every turn, to see that it is not
his).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from client_sdk.turns import LEAST, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """
    All listeners of one namespace. ``at_once`` of them at least hear in one turn of the loop;
    ``clock`` gives seconds.
    """

    def __init__(
        self, at_once: int = LEAST, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.turns = Turns(at_once)
        self._clock = clock
        self._left = 0  # messages that wait, once for each who is still to hear them
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
        if not self._all:
            return
        self._waiting.append((word, deque(self._all)))
        self._left += len(self._all)
        if self._next is None:
            self._hand_out()

    def _hand_out(self) -> None:
        self._next = None
        for _ in range(self.turns.share(self._left, self._clock())):
            word, audience = self._waiting[0]
            word(audience.popleft())
            self._left -= 1
            if not audience:
                self._waiting.popleft()
        if self._waiting:
            self._next = asyncio.get_running_loop().call_soon(self._hand_out)

    def close(self, reason: str) -> None:
        """End all of them at once; what was not handed out yet they do not hear."""
        self._waiting.clear()
        self._left = 0
        for watcher in tuple(self._all):
            watcher.close(reason)
