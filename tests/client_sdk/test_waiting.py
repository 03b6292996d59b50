"""Cancellations that come in the worst moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from client_sdk.waiting import cancelled, ended, in_time, set_within


async def test_what_comes_in_time_is_given_back_and_what_fails_is_raised() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> None:
        raise ZeroDivisionError

    assert await in_time(answer(), 1.0) == 7
    with pytest.raises(ZeroDivisionError):
        await in_time(fail(), 1.0)


async def test_what_comes_too_late_is_ended_before_anybody_hears_of_it() -> None:
    ended = []

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(asyncio.TimeoutError):
        await in_time(late(), 0.0)
    assert ended


@pytest.mark.parametrize("how", ["in_time", "set_within"])
async def test_a_cancellation_in_the_moment_of_the_answer_is_not_lost(how: str) -> None:
    """``asyncio.wait_for`` gives the answer back instead, before Python 3.12."""
    come = asyncio.Event()

    async def answer() -> None:
        await come.wait()

    waiting = asyncio.ensure_future(
        in_time(answer(), 9.0) if how == "in_time" else set_within(come, 9.0)
    )
    for _ in range(3):
        await asyncio.sleep(0)
    come.set()
    await asyncio.sleep(0)  # the answer is there, and whoever waits has not run yet
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_cancelling_what_waits_ends_what_it_waits_for() -> None:
    ended = []

    async def answer() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    waiting = asyncio.ensure_future(in_time(answer(), 9.0))
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert ended


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell before 3.11")
async def test_a_cancellation_that_somebody_swallowed_is_still_known() -> None:
    told = []

    async def swallow() -> None:
        told.append(cancelled())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append(cancelled())

    task = asyncio.ensure_future(swallow())
    await asyncio.sleep(0)
    task.cancel()
    await task

    assert told == [False, True]


# Forks while a thread works for a task; the child ends by itself, as asyncio.run lets it.
_FORKS = """
import asyncio, os, sys, threading
from client_sdk.waiting import to_the_end

begun = threading.Event()

def work():
    begun.set()
    threading.Event().wait()

async def main():
    working = asyncio.ensure_future(to_the_end(work))
    while not begun.is_set():
        await asyncio.sleep(0)
    if not (child := os.fork()):
        sys.exit(7)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status))  # its loop shared the child's epoll, and is lost

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody forks there")
def test_a_forked_child_does_not_wait_for_the_threads_of_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _FORKS], start_new_session=True) as process:
        try:
            assert process.wait(timeout=30.0) == 7
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a child that waits too


async def test_what_swallows_a_cancellation_is_ended_all_the_same() -> None:
    swallowed = []

    async def stubborn() -> None:
        while len(swallowed) < 4:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(True)
        raise ZeroDivisionError

    tasks = [asyncio.ensure_future(stubborn()) for _ in range(2)]
    await asyncio.sleep(0)
    await ended(*tasks, None, asyncio.current_task())

    assert all(task.done() for task in tasks)
    assert len(swallowed) >= 4


async def test_who_ends_others_and_is_cancelled_meanwhile_ends_them_first() -> None:
    ends = asyncio.Event()

    async def stubborn() -> None:
        while not ends.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await ends.wait()

    task = asyncio.ensure_future(stubborn())
    ending = asyncio.ensure_future(ended(task))
    for _ in range(3):
        await asyncio.sleep(0)
    ending.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    waits = not ending.done()
    ends.set()
    await asyncio.wait((ending, task))

    assert waits
    assert ending.cancelled()
