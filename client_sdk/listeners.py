"""
Whoever wants to hear of a change: called in order, each on its own.

A plain function is called on the loop, one after the other; one that fails is logged and stops
nobody. A coroutine function gets a task of its own; while it runs, the newest change for it waits,
and older ones that it has not begun are passed over: it always ends with the present, and never has
two calls at once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.records import Position

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """
    What a listener gets. ``reason`` is ``start``, ``publish``, ``rollout``, ``rollback`` or
    ``delete``; ``value`` is ``None`` and ``version`` is ``None`` where the key is gone.
    """

    key: str
    value: Any
    previous: Any
    version: int | None
    position: Position
    reason: str


class _Coroutine:
    """A coroutine function and its one task."""

    __slots__ = ("_call", "_next", "_task")

    def __init__(self, call: Callable[[Change], Any]) -> None:
        self._call = call
        self._next: Change | None = None
        self._task: asyncio.Task[None] | None = None

    def __call__(self, change: Change) -> None:
        self._next = change
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._next is not None:
            change, self._next = self._next, None
            try:
                await self._call(change)
            except (Exception, SystemExit):  # a listener's own trouble
                log.exception("a listener of %s failed", change.key)

    def cancel(self) -> asyncio.Task[None] | None:
        if self._task is not None:
            self._task.cancel()
        return self._task


class Listeners:
    """All listeners by key; belongs to the loop."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Callable[[Change], Any]]] = {}

    def add(self, key: str, call: Callable[[Change], Any]) -> Callable[[Change], Any]:
        """A new listener; returns what is to be called."""
        listener = _Coroutine(call) if inspect.iscoroutinefunction(call) else call
        self._by_key.setdefault(key, []).append(listener)
        return listener

    def tell(self, change: Change) -> None:
        """Call everybody who listens to the key; the trouble of one is its own."""
        for listener in tuple(self._by_key.get(change.key, ())):
            try:  # not through call(): a thousand listeners pay for every step between
                listener(change)
            except (Exception, SystemExit):
                log.exception("a listener of %s failed", change.key)

    async def close(self, deadline: float = 5.0) -> None:
        """Cancel the coroutines that run, and wait for them, for ``deadline`` seconds at most."""
        running = [one for each in self._by_key.values() for one in each]
        tasks = [one.cancel() for one in running if isinstance(one, _Coroutine)]
        live = [task for task in tasks if task is not None]
        if not live:
            return
        _, deaf = await asyncio.wait(live, timeout=deadline)
        if deaf:
            log.warning(
                "%d listeners did not end within %s s of being cancelled", len(deaf), deadline
            )


def call(listener: Callable[[Change], Any], change: Change) -> None:
    """Call one listener; its trouble is its own."""
    try:
        listener(change)
    except (Exception, SystemExit):  # a listener's own trouble must not stop the next one
        log.exception("a listener of %s failed", change.key)
