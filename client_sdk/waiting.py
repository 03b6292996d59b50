"""
Waiting that loses no cancellation.

``asyncio.wait_for`` before Python 3.12 gives back a result in place of a cancellation that comes in
the same moment; so may timeouts inside libraries. For a call that is one too many answers; for a
task that runs for ever it is a program that does not end: ``asyncio.run`` cancels each task once
and then waits. So nothing of ours waits by ``wait_for``, a loop without an end asks
:func:`cancelled` in each round, and whoever ends a task asks until it has ended: redis-py waits by
``wait_for``, and loses a cancellation that comes while it sends.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

# Seconds until a cancellation that was swallowed is repeated, the last for as long as it takes:
# soon, because most are swallowed by an answer; then rarely, because it disturbs who tidies up.
_ASK_AGAIN = (0.01, 0.05, 0.2)


async def in_time(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What ``work`` gives. Raises asyncio.TimeoutError when it has not ended in time."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working,), timeout=seconds)
        if not working.done():
            raise asyncio.TimeoutError
        return working.result()
    finally:
        await ended(working)


async def set_within(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set, or the time is over."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiting,), timeout=seconds)
    finally:
        waiting.cancel()


async def to_the_end(work: Callable[[], T]) -> T:
    """
    Do blocking ``work`` in a thread and wait until it has ended, however often this is cancelled
    meanwhile: what it works on is nobody else's before. Raises what it raises.
    """
    return await undisturbed(asyncio.get_running_loop().run_in_executor(None, work))


async def undisturbed(working: asyncio.Future[T]) -> T:
    """
    What ``working`` gives, once it has ended, however often this is cancelled meanwhile; the
    cancellation is raised then. Raises what it raises.

    A forked child has none of its parent's threads: there nothing would ever end, and what the
    work touches is the parent's. So it goes when it is cancelled.
    """
    process = os.getpid()
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait((working,))
        except asyncio.CancelledError as error:
            if os.getpid() != process:
                raise
            cancelled = error
    if cancelled is not None:
        if not working.cancelled():
            working.exception()  # looked at, so that nobody hears "never retrieved"
        raise cancelled
    return working.result()


async def ended(*tasks: asyncio.Future[Any] | None) -> None:
    """
    Cancel what still runs, until all has ended, however often this is cancelled meanwhile; the
    cancellation is raised then. What the tasks raise is not looked at. Nobody ends himself.
    """
    waiting = {task for task in tasks if task is not None} - {asyncio.current_task()}
    patience = iter(_ASK_AGAIN)
    cancelled: asyncio.CancelledError | None = None
    while waiting:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=next(patience, _ASK_AGAIN[-1]))
        except asyncio.CancelledError as error:
            cancelled = error
        for task in waiting:
            if task.done() and not task.cancelled():
                task.exception()  # so that nobody hears "never retrieved"
        waiting = {task for task in waiting if not task.done()}
    if cancelled is not None:
        raise cancelled


def cancelled() -> bool:
    """True when this task was cancelled and something swallowed it (Python 3.11 and later)."""
    task = asyncio.current_task()
    return bool(getattr(task, "cancelling", int)())
