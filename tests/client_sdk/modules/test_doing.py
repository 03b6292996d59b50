"""Steps of other people: off the loop, with an end, nothing lost."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading

import pytest

from client_sdk.modules.doing import Overdue, Steps, in_thread

WITHIN = 30.0
VAR = contextvars.ContextVar("VAR", default="unset")


async def double(number):
    return number * 2


class Callable:
    async def __call__(self, number):
        return number + 1


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (double, 10),
        (Callable(), 6),
        (functools.partial(double), 10),
        (lambda number: double(number), 10),
        (lambda number: number - 1, 4),
    ],
)
async def test_plain_and_asynchronous_steps_give_their_result(step, answer):
    assert await Steps().run(step, 5, deadline=WITHIN) == answer


async def test_a_plain_step_runs_in_a_thread_under_the_callers_context():
    VAR.set("mine")
    seen = await Steps().run(lambda: (VAR.get(), threading.current_thread().name), deadline=WITHIN)
    assert seen == ("mine", "config-module")


async def test_a_blocking_step_does_not_block_the_loop():
    go = threading.Event()
    step = asyncio.create_task(Steps().run(lambda: go.wait(WITHIN), deadline=WITHIN))
    await asyncio.sleep(0.01)
    assert not step.done()
    go.set()
    assert await step


@pytest.mark.parametrize(
    ("error", "raised"),
    [(ValueError("x"), ValueError), (StopIteration(), RuntimeError), (SystemExit(3), RuntimeError)],
)
async def test_what_a_step_raises_reaches_the_caller_and_never_ends_the_loop(error, raised):
    def plain():
        raise error

    async def asynchronous():
        raise error

    with pytest.raises(raised):
        await Steps().run(plain, deadline=WITHIN)
    with pytest.raises((raised, RuntimeError)):
        await Steps().run(asynchronous, deadline=WITHIN)


async def test_a_step_that_cancels_itself_is_a_failure_not_a_cancellation():
    async def quits():
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled"):
        await Steps().run(quits, deadline=WITHIN)


async def test_an_overdue_coroutine_is_cancelled():
    ended = asyncio.Event()

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(Overdue, match=r"after 0\.01 s"):
        await Steps().run(slow, deadline=0.01)
    await asyncio.wait_for(ended.wait(), WITHIN)


@pytest.mark.parametrize("leave", ["deadline", "cancel"])
@pytest.mark.parametrize("kind", ["thread", "stubborn"])
async def test_what_a_step_gives_after_it_was_left_behind_goes_to_late(leave, kind):
    go, begun, late = threading.Event(), asyncio.Event(), asyncio.Queue()
    loop = asyncio.get_running_loop()

    def plain():
        loop.call_soon_threadsafe(begun.set)
        go.wait(WITHIN)
        return "made"

    async def stubborn():
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "made"

    step = plain if kind == "thread" else stubborn
    deadline = 0.02 if leave == "deadline" else WITHIN
    work = asyncio.create_task(Steps().run(step, deadline=deadline, late=late.put_nowait))
    await begun.wait()
    if leave == "cancel":
        work.cancel()
    with pytest.raises((Overdue, asyncio.CancelledError)):
        await work
    go.set()
    assert await asyncio.wait_for(late.get(), WITHIN) == "made"


async def test_a_late_failure_is_nobodys_result():
    go, late = threading.Event(), []
    steps = Steps()

    def fails():
        go.wait(WITHIN)
        raise ValueError

    with pytest.raises(Overdue):
        await steps.run(fails, deadline=0.01, late=late.append)
    go.set()
    await steps.close(WITHIN)
    assert late == []


async def test_closing_gives_up_what_does_not_end():
    go = threading.Event()
    steps = Steps()
    with pytest.raises(Overdue):
        await steps.run(lambda: go.wait(WITHIN), deadline=0.01)
    await steps.close(0.01)
    go.set()


async def test_a_thread_whose_waiter_is_gone_delivers_to_nobody():
    go = threading.Event()
    future = in_thread(lambda: go.wait(WITHIN))
    future.cancel()
    go.set()
    await asyncio.sleep(0.01)
    assert future.cancelled()


def test_a_thread_that_outlives_its_loop_ends_quietly():
    go, threads = threading.Event(), []

    def step():
        threads.append(threading.current_thread())
        go.wait(WITHIN)

    async def run():
        in_thread(step)
        while not threads:  # noqa: ASYNC110  # set in a thread
            await asyncio.sleep(0.001)

    asyncio.run(run())
    go.set()
    threads[0].join(WITHIN)
    assert not threads[0].is_alive()
