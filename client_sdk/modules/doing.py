"""
Running other people's steps: never on the loop when they are plain functions, never without an end.

A plain function runs in a thread of its own. Rejected: the loop's executor, which has a handful of
threads; one hung constructor after the other would take them all, and with them name resolution.
The threads are daemons, so a step that never ends cannot keep the process alive.

A step that is late or no longer wanted is left behind: a coroutine is cancelled, a thread runs on.
What it gives after that goes to ``late``, so that it can be closed: nothing that was built is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Overdue(Exception):
    """A step did not end within its deadline."""


class Steps:
    """Runs steps and owns what they leave behind."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(
        self,
        step: Callable[..., Any],
        *args: Any,
        deadline: float,
        late: Callable[[Any], None] | None = None,
    ) -> Any:
        """
        What ``step(*args)`` gives. Raises what it raises, or Overdue after ``deadline`` seconds.

        ``late`` is called on the loop with the result of a step that was left behind.
        """
        work = asyncio.get_running_loop().create_task(_run(step, args))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({work}, timeout=deadline)
        except asyncio.CancelledError:
            _leave(work, step, late)
            raise
        if not work.done():
            _leave(work, step, late)
            raise Overdue(f"it was not done after {deadline:g} s")
        if work.cancelled():
            raise RuntimeError("it was cancelled")
        return work.result()

    async def close(self, deadline: float) -> None:
        """Wait for what was left behind, at most ``deadline`` seconds, then give it up."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=deadline)
        for work in self._running:
            work.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def is_async(step: Callable[..., Any]) -> bool:
    """True when calling ``step`` gives a coroutine, so that calling it does not block."""
    call = getattr(step, "__call__", None)  # noqa: B004  # an object with an async __call__
    return inspect.iscoroutinefunction(step) or inspect.iscoroutinefunction(call)


def in_thread(call: Callable[[], Any]) -> asyncio.Future[Any]:
    """The result of ``call``, run in a new daemon thread under the caller's context."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: Any, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(call)
        except BaseException as raised:  # a boundary: it is carried to whoever waits
            error = _carried(raised)
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:
            pass  # the loop was closed meanwhile, nobody waits any more

    threading.Thread(target=run, name="config-module", daemon=True).start()
    return future


async def _run(step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        if is_async(step):
            return await step(*args)
        result = await in_thread(lambda: step(*args))
        return await result if inspect.iscoroutine(result) else result
    except SystemExit as error:
        # In a task it would end the loop, and with it every conversation.
        raise _carried(error) from error


def _carried(raised: BaseException) -> Exception:
    """What may travel through a future and a task without being taken for something else."""
    if isinstance(raised, Exception) and not isinstance(raised, StopIteration):
        return raised
    return RuntimeError(f"it raised {type(raised).__name__}")


def _leave(
    work: asyncio.Task[Any], step: Callable[..., Any], late: Callable[[Any], None] | None
) -> None:
    def collect(done: asyncio.Task[Any]) -> None:
        if not done.cancelled() and done.exception() is None and late is not None:
            late(done.result())

    if is_async(step):
        work.cancel()  # a thread cannot be stopped; cancelling its waiter would lose the result
    work.add_done_callback(collect)
