"""
The driver of one replica: the only owner of a client's tasks.

Two tasks. The *link* keeps one transport at a time: connects with full jitter, feeds what arrives
to the replica, carries out the reads it asks for, and changes the path when one fails. The *worker*
takes verified states in order, the newest wins: writes it to disk, lets the serving side build and
prove what is new, tells the listeners, reports. So a slow build never delays the link, and a broken
link never delays a build.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from client_sdk.errors import ConfigError, MissingBodies, TransportDown
from client_sdk.steps import (
    Advance,
    ChangePath,
    Ping,
    ReadBodies,
    ReadImage,
    ReadLog,
    Reconnect,
    TellCenter,
)
from client_sdk.transports.base import Frame, Pong, Subscribed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from client_sdk.image import Ring
    from client_sdk.records import Record
    from client_sdk.replica import Replica
    from client_sdk.state import NamespaceState
    from client_sdk.steps import Do
    from client_sdk.transports.base import Transport

log = logging.getLogger(__name__)

BASE, CAP = 0.5, 5.0
_FAILURES = 3
_BACK_AFTER = 60.0


@dataclass(slots=True)
class Pending:
    """What the worker still has to serve: a verified state and how it was reached."""

    state: NamespaceState
    records: list[Record] = field(default_factory=list)
    changed: frozenset[str] | None = frozenset()


class Driver:
    """
    Feeds ``replica`` from the transports that ``connect(index)`` makes, in order of preference.

    ``serve`` is called with every new state, one at a time; ``first`` is set once anything was
    taken in, or is known to be up to date.
    """

    def __init__(
        self,
        replica: Replica,
        connect: Sequence[Callable[[], Transport]],
        serve: Callable[[Pending], Awaitable[None]],
        *,
        backoff: float = BASE,
        rng: random.Random | None = None,
    ) -> None:
        self.replica = replica
        self.transport: Transport | None = None
        self.ring: Ring = {}
        self.head: Record | None = None
        self.first = asyncio.Event()
        self.failure = "it was not tried yet"
        self._connect = connect
        self._serve = serve
        self._backoff = backoff
        self._rng = rng or random.Random()
        self._pending: Pending | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._read: asyncio.Task[None] | None = None
        self._path = 0

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._link_for_ever(), name="config link"),
            asyncio.create_task(self._work_for_ever(), name="config worker"),
        ]

    async def close(self) -> None:
        """Stop both tasks and let go of the path."""
        tasks = [*self._tasks, *([self._read] if self._read else [])]
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.2)
        if self.transport is not None:
            await self.transport.close()

    async def settled(self) -> None:
        """Wait until everything taken in so far is served."""
        await self._idle.wait()

    # -- the link -----------------------------------------------------------------------------

    async def _link_for_ever(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._link()
            except TransportDown as error:
                self.failure = str(error)
            except Exception as error:  # the link must outlive whatever one path met
                self.failure = f"{type(error).__name__}: {error}"
                log.exception("the link failed")
            self.replica.on_down()
            await self._stop_reading()
            failures = 0 if time.monotonic() - began > _BACK_AFTER else failures + 1
            if failures % _FAILURES == 0:
                self._path = (self._path + 1) % len(self._connect)
            log.info("the link is down: %s", self.failure)
            delay = min(CAP, self._backoff * 2 ** min(failures, 6))
            await asyncio.sleep(self._rng.uniform(0, delay))

    async def _link(self) -> None:
        transport = self._connect[self._path]()
        try:
            await transport.open()
            self.transport = transport
            await self._follow(transport)
        finally:
            self.transport = None
            await transport.close()

    async def _follow(self, transport: Transport) -> None:
        tick = self.replica.timing.silence / 4
        receiving: asyncio.Task[Any] | None = None
        until = time.monotonic() + _BACK_AFTER if self._path else float("inf")
        try:
            while time.monotonic() < until:
                receiving = receiving or asyncio.create_task(transport.receive())
                done, _ = await asyncio.wait((receiving,), timeout=tick)
                if done:
                    event, receiving = receiving.result(), None
                    await self._carry_out(transport, self._feed(event))
                await self._carry_out(transport, self.replica.on_tick(time.monotonic()))
        finally:
            if receiving is not None:
                receiving.cancel()
                await asyncio.wait((receiving,))
        self._path = 0

    def _feed(self, event: Any) -> list[Do]:
        now = time.monotonic()
        if isinstance(event, Frame):
            return self.replica.on_frame(event.data, now, time.time_ns() // 1_000_000)
        if isinstance(event, Subscribed):
            return self.replica.on_subscribed(now)
        if isinstance(event, Pong):
            return self.replica.on_pong(now)
        return []

    async def _carry_out(self, transport: Transport, todo: list[Do]) -> None:
        for step in todo:
            if isinstance(step, Advance):
                self._take(step)
            elif isinstance(step, ReadLog | ReadImage | ReadBodies):
                await self._stop_reading()
                self._read = asyncio.create_task(self._answer(transport, step), name="config read")
            elif isinstance(step, Ping):
                await transport.ping()
            elif isinstance(step, Reconnect | ChangePath):
                raise TransportDown(step.reason)
            elif isinstance(step, TellCenter):
                log.error("%s", step.reason)
        if self.replica.state is not None and not todo:
            self.first.set()

    async def _answer(self, transport: Transport, step: ReadLog | ReadImage | ReadBodies) -> None:
        try:
            todo = await self._do_read(transport, step)
        except (TransportDown, MissingBodies) as error:
            self.failure = str(error)
            todo = self.replica.on_read_failed(time.monotonic())
        self._read = None
        with contextlib.suppress(TransportDown):
            await self._carry_out(transport, todo)

    async def _do_read(
        self, transport: Transport, step: ReadLog | ReadImage | ReadBodies
    ) -> list[Do]:
        if isinstance(step, ReadLog):
            return self.replica.on_log(await transport.read_log(step.after), time.monotonic())
        if isinstance(step, ReadBodies):
            found = await transport.read_bodies(step.hashes)
            return self.replica.on_bodies(found, time.monotonic())
        await asyncio.sleep(step.delay)
        image = await transport.read_image()
        self.ring, self.head = image.ring, image.head
        wall = time.time_ns() // 1_000_000
        return self.replica.on_image(image, time.monotonic(), wall, confirmed=transport.confirmed)

    async def _stop_reading(self) -> None:
        read, self._read = self._read, None
        if read is not None and read is not asyncio.current_task() and not read.done():
            read.cancel()
            await asyncio.wait((read,))

    # -- the worker ---------------------------------------------------------------------------

    def _take(self, step: Advance) -> None:
        changed: frozenset[str] | None = None
        if step.records:
            changed = frozenset(op.key for r in step.records for op in r.header.ops)
        waiting = self._pending
        if waiting is None:
            self._pending = Pending(step.state, list(step.records), changed)
        else:
            whole = changed is None or waiting.changed is None
            waiting.changed = None if whole else waiting.changed | changed  # type: ignore[operator]
            waiting.records = [] if whole else [*waiting.records, *step.records]
            waiting.state = step.state
        self._idle.clear()
        self._work.set()

    async def _work_for_ever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            pending, self._pending = self._pending, None
            if pending is None:
                continue
            try:
                await self._serve(pending)
            except ConfigError as error:
                log.error("a change could not be served: %s", error)
            except Exception:  # the worker must outlive whatever one change met
                log.exception("a change could not be served")
            self.first.set()
            if self._pending is None:
                self._idle.set()
