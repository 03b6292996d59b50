"""
The same client for programs without an event loop: one thread of its own runs the loop.

``get``, ``unit`` and ``turn`` are the asynchronous client's own and never enter that thread: they
read one reference, whatever the loop is doing. Everything else is handed to the thread and waited
for, each with a deadline. Listeners, ``build``, ``probe`` and ``close`` functions are called there
(plain ``build`` functions in a worker thread, as ever); waiting for the client inside one of them
would wait for itself for ever, so it is refused with UsageError.

The thread is a daemon: a program that ends without :meth:`Client.close` ends. After a fork the
child has no such thread, and every use raises ForkedClient until it connects anew; servers that
fork workers connect in the worker::

    from client_sdk.sync import Client

    with Client.connect("http://127.0.0.1:8848", instance="worker-1") as client:
        with client.turn(client.unit("24:6f:28:a0:00:01")) as view:
            prompt = view.get("prompt", "You are brief.")
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from client_sdk import client as asynchronous
from client_sdk.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from client_sdk.keks import Kek, Keks
    from client_sdk.listeners import Change
    from client_sdk.plan import Status
    from client_sdk.route import Pace
    from client_sdk.serving import ModuleHandle
    from client_sdk.steps import Timing

_T = TypeVar("_T")
_GRACE = 5.0  # what waits on the loop bounds itself; this is for a loop that somebody blocks


class Client:
    """
    One instance's live view of one namespace. Make it with :meth:`connect`.

    Every method may be called from any thread but the client's own. The words are those of
    :class:`client_sdk.client.Client`, which says what they do and raise.
    """

    def __init__(self, client: asynchronous.Client, thread: LoopThread) -> None:
        self._client = client
        self._thread = thread
        self.get = client.get
        self.unit = client.unit
        self.turn = client.turn
        self.status: Callable[[], Status] = client.status
        self.metrics: Callable[[], dict[str, float]] = client.metrics
        self.report_devices = client.report_devices

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        namespace: str | None = None,
        instance: str | None = None,
        labels: Mapping[str, Any] | None = None,
        token: str | None = None,
        trust: str | None = None,
        secret_key: str | Path | Kek | Keks | None = None,
        state: str | Path | None = None,
        timeout: float = 5.0,
        defaults: Mapping[str, Any] | None = None,
        timing: Timing | None = None,
        pace: Pace | None = None,
        report_every: float = 5.0,
    ) -> Client:
        """Connect, within ``timeout`` seconds; use what it gives with ``with``, or close it."""
        options = {name: value for name, value in locals().items() if name not in ("cls", "url")}

        async def connected() -> asynchronous.Client:
            return await asynchronous.Client.connect(url, **options)

        thread = LoopThread()
        try:
            return cls(thread.run(connected, timeout + _GRACE), thread)
        except BaseException:
            thread.stop()
            raise

    def module(
        self,
        key: str,
        build: Callable[[Any, Any], Any],
        probe: Callable[[Any], Any] | None = None,
        close: Callable[[Any], Any] | None = None,
        adopt: str = "turn",
    ) -> ModuleHandle:
        """Declare a live module."""
        return self._call(lambda: self._client.module(key, build, probe, close, adopt))

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until every declared module is built and proven."""
        self._thread.run(lambda: self._client.ready(timeout), timeout + _GRACE)

    def on_change(self, key: str) -> Callable[[Callable[[Change], Any]], Callable[[Change], Any]]:
        """Decorate a function that is called with the value now, and at every change of it."""

        def add(function: Callable[[Change], Any]) -> Callable[[Change], Any]:
            return self._call(lambda: self._client.on_change(key)(function))

        return add

    def put(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        comment: str = "",
        rollout: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Publish over HTTP with a publisher's token."""

        def publish() -> Awaitable[dict[str, Any]]:
            return self._client.put(
                key, value, if_version=if_version, comment=comment, rollout=rollout
            )

        return self._thread.run(publish)

    def retry(self) -> None:
        """Try again, now, what is held back: :meth:`client_sdk.Client.retry`."""
        self._thread.run(self._client.retry)

    def close(self, deadline: float = asynchronous.CLOSE_SECONDS) -> None:
        """Stop following, let open turns end, close the modules, end the thread."""
        self._end(lambda: self._client.close(deadline), deadline)

    def _end(self, end: Callable[[], Awaitable[None]], deadline: float) -> None:
        if self._thread.alive:
            self._thread.run(end, deadline + 2 * _GRACE)
            self._thread.stop()

    def _call(self, function: Callable[[], _T]) -> _T:
        async def called() -> _T:
            return function()

        return self._thread.run(called)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        self._end(lambda: self._client.__aexit__(kind, error, at), asynchronous.CLOSE_SECONDS)


class LoopThread:
    """A daemon thread that runs one event loop until :meth:`stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="config client", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False after :meth:`stop`, and in the child of a fork."""
        return self._pid == os.getpid() and self._thread.is_alive()

    def run(self, make: Callable[[], Awaitable[_T]], within: float = 30.0) -> _T:
        """
        What ``make()`` gives, awaited on the loop.

        Raises what it raises; ClientClosed, ForkedClient, UsageError on the loop's own thread, and
        Unavailable when the loop did not come to an end of it in ``within`` seconds.
        """
        if self._pid != os.getpid():
            raise asynchronous.forked()
        if threading.current_thread() is self._thread:
            raise UsageError(
                "this waits for the client's own thread and is called on it (by a listener or a "
                "module's function); do it in a thread of yours"
            )
        if not self._thread.is_alive():
            raise asynchronous.closed()
        future = asyncio.run_coroutine_threadsafe(_awaited(make), self._loop)
        try:
            return future.result(within)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise Unavailable(
                f"the client's own thread gave no answer in {within:g} s; something blocks it, a "
                "listener perhaps"
            ) from error

    def stop(self) -> None:
        """End the loop and the thread, for a few seconds at most."""
        if self.alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_GRACE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()


async def _awaited(make: Callable[[], Awaitable[_T]]) -> _T:
    return await make()
