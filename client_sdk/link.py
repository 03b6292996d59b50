"""
One transport while it lives: feeds the replica, answers its reads.

All that reaches the replica passes through one loop, which waits for whichever comes first: an
event, the answer to a read, the next tick. So the replica is never entered twice at once, and every
trouble comes out of :meth:`Link.run` at one place. One read is under way at most; what it leads to
is decided here and not in a task of its own, because an exception there would be nobody's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from client_sdk.errors import NotTrusted, NotVerified, TransportDown, UnknownSigner
from client_sdk.steps import (
    Advance,
    Ping,
    Read,
    ReadBodies,
    ReadLog,
    ReadTrust,
    Reconnect,
    TellCenter,
)
from client_sdk.transports.base import Frame, Pong, Subscribed
from client_sdk.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from client_sdk.image import Ring
    from client_sdk.replica import Replica
    from client_sdk.steps import Do
    from client_sdk.transports.base import Event, Transport

log = logging.getLogger(__name__)


class Link:
    """
    Follows ``transport`` until it ends with TransportDown, or is cancelled.

    ``take`` gets what was verified and the ring that came with it (``None``: as before), ``tell``
    a reason to report to the center; ``caught_up`` is called while nothing is awaited; ``renew``
    gets a list of signing keys that was read, and raises NotTrusted.
    ``only``: there is no other path, so nothing is gained by leaving this one.
    """

    def __init__(
        self,
        transport: Transport,
        replica: Replica,
        take: Callable[[Advance, Ring | None], None],
        tell: Callable[[str], None],
        caught_up: Callable[[], None],
        renew: Callable[[bytes], Awaitable[None]],
        *,
        only: bool,
    ) -> None:
        self._transport = transport
        self._replica = replica
        self._take = take
        self._tell = tell
        self._caught_up = caught_up
        self._renew = renew
        self._only = only
        self._ring: Ring | None = None
        self._subscribed = False
        self._reading: asyncio.Task[Callable[[float], list[Do]]] | None = None

    async def run(
        self, until: asyncio.Future[Any] | None = None, *, subscribed: bool = False
    ) -> None:
        """
        Follow an open transport until ``until`` is done; the caller closes it. ``subscribed``: it
        was listened to before, so its first event is gone. Raises TransportDown.
        """
        receiving = asyncio.ensure_future(self._transport.receive())
        try:
            if subscribed:
                await self._carry_out(self._feed(Subscribed()))
            while until is None or not until.done():
                await self._wait(receiving, until)
                if receiving.done():
                    event = receiving.result()
                    receiving = asyncio.ensure_future(self._transport.receive())
                    await self._carry_out(self._feed(event))
                if self._reading is not None and self._reading.done():
                    await self._carry_out(self._read())
                await self._carry_out(self._replica.on_tick(time.monotonic()))
                if self._subscribed and not self._replica.catching_up:
                    self._caught_up()
        finally:
            await ended(receiving, self._reading)
            self._reading = None
            self._replica.on_down()

    async def _wait(self, *futures: asyncio.Future[Any] | None) -> None:
        """Until one of these, or the read that is under way, is done, or it is time for a tick."""
        waited = [future for future in (*futures, self._reading) if future is not None]
        tick = self._replica.due_in(time.monotonic())
        await asyncio.wait(waited, timeout=tick, return_when=asyncio.FIRST_COMPLETED)

    def _feed(self, event: Event) -> list[Do]:
        now = time.monotonic()
        if isinstance(event, Frame):
            return self._replica.on_frame(event.data, now, time.time_ns() // 1_000_000)
        if isinstance(event, Subscribed):
            self._subscribed = True
            return self._replica.on_subscribed(now)
        if isinstance(event, Pong):
            return self._replica.on_pong(now)
        raise TypeError(f"{self._transport.name} hands over {event!r}, which is no event")

    def _read(self) -> list[Do]:
        reading, self._reading = self._reading, None
        if reading is None:
            return []
        now = time.monotonic()
        try:
            return reading.result()(now)
        except UnknownSigner as error:
            return self._replica.on_unreadable(str(error), now, error.kid)
        except NotVerified as error:  # also bodies that are absent: replaced, or taken away
            return self._replica.on_unreadable(str(error), now)

    async def _carry_out(self, todo: Sequence[Do]) -> None:
        for step in todo:
            if isinstance(step, Advance):
                self._take(step, self._ring)
                self._ring = None
            elif isinstance(step, Read):
                await ended(self._reading)
                self._reading = asyncio.create_task(self._fetch(step), name="config read")
            elif isinstance(step, Ping):
                await self._transport.ping()
            elif isinstance(step, TellCenter):
                self._tell(step.reason)
            elif isinstance(step, Reconnect):
                raise TransportDown(step.reason)
            elif not self._only:  # ChangePath
                raise TransportDown(step.reason, permanent=True)

    async def _fetch(self, step: Read) -> Callable[[float], list[Do]]:
        """Read what was asked for; the replica takes it in when the loop comes to it."""
        transport, replica = self._transport, self._replica
        if isinstance(step, ReadLog):
            records = await transport.read_log(step.after)
            return lambda now: replica.on_log(records, now)
        if isinstance(step, ReadBodies):
            objects = await transport.read_bodies(step.hashes)
            return lambda now: replica.on_bodies(objects, now)
        if isinstance(step, ReadTrust):
            await self._read_trust()
            return replica.on_trust
        await asyncio.sleep(step.delay)
        image = await transport.read_image()
        proven = await asyncio.to_thread(image.proven, replica.ns, replica.verifier)
        self._ring = proven.ring
        wall = time.time_ns() // 1_000_000
        return lambda now: replica.on_image(proven, now, wall, confirmed=transport.confirmed)

    async def _read_trust(self) -> None:
        """A path without a list that counts is still one: what is known already goes on to."""
        try:
            await self._renew(await self._transport.read_trust())
        except (NotTrusted, TransportDown) as error:
            log.warning("the list of signing keys was not renewed: %s", error)
