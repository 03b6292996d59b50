"""
Records without a wire: the other end is an object of this process, found by the name in the URL.

For tests of programs that embed the library (:class:`client_sdk.testing.MemoryCenter`). It keeps a
transport's promises like any other: bounded, trouble is TransportDown, and the frames are the same
signed bytes. Client and center may live on different threads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from client_sdk.errors import TransportDown
from client_sdk.transports.base import Event, Frame, Pong, Subscribed, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from client_sdk.image import Image, Ring
    from client_sdk.records import Position, Record

_QUEUE = 1000


class Source(Protocol):
    """What a center in this process shows."""

    away: bool
    ring: Ring
    records: list[Record]
    listeners: set[Callable[[bytes | None], None]]

    def image(self) -> Image:
        """The whole namespace now."""

    def trust_document(self) -> bytes:
        """The list of signing keys."""

    def take_report(self, instance: str, frame: bytes) -> None:
        """An instance reports."""


SOURCES: dict[str, Source] = {}  # by name: a URL is text, and the object has to be found again


class MemoryTransport(Transport):
    """One link to the source that ``memory://name`` names."""

    name = "memory"
    confirmed = True  # the path is this process

    def __init__(self, name: str) -> None:
        self._source_name = name
        self._source: Source | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: asyncio.Queue[Event | TransportDown] = asyncio.Queue(_QUEUE)

    async def open(self) -> None:
        source = SOURCES.get(self._source_name)
        if source is None or source.away:
            raise TransportDown(f"no MemoryCenter called {self._source_name!r} is there")
        self._source, self._loop = source, asyncio.get_running_loop()
        self._put(Subscribed())
        source.listeners.add(self._hear)

    def _hear(self, frame: bytes | None) -> None:
        """From any thread: a frame, or ``None`` when the source goes away."""
        event = TransportDown("the center went away") if frame is None else Frame(frame)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: Event | TransportDown) -> None:
        if self._events.full():
            event = TransportDown("this process does not keep up with the messages")
            while not self._events.empty():
                self._events.get_nowait()
        self._events.put_nowait(event)

    async def receive(self) -> Event:
        event = await self._events.get()
        if isinstance(event, TransportDown):
            raise event
        return event

    async def ping(self) -> None:
        self._present()
        self._put(Pong())

    async def read_log(self, after: Position) -> list[Record] | None:
        records = self._present().records
        return [record for record in records if record.position > after]

    async def read_image(self) -> Image:
        return self._present().image()

    async def read_bodies(self, hashes: Iterable[str]) -> dict[str, bytes]:
        source = self._present()
        bodies = {sha: body for record in source.records for sha, body in record.bodies.items()}
        return {sha: bodies[sha] for sha in hashes if sha in bodies}

    async def read_trust(self) -> bytes:
        return self._present().trust_document()

    async def read_ring(self) -> Ring:
        return self._present().ring

    async def send_report(self, instance: str, frame: bytes) -> None:
        self._present().take_report(instance, frame)

    async def close(self) -> None:
        if self._source is not None:
            self._source.listeners.discard(self._hear)

    def _present(self) -> Source:
        if self._source is None or self._source.away:
            raise TransportDown("the center went away")
        return self._source
