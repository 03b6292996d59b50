"""A path whose far end is a list in the test: what arrives, what reads answer, what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from client_sdk.errors import TransportDown
from client_sdk.image import Image, Ring
from client_sdk.records import Position, Record
from client_sdk.transports.base import Event, Frame, Pong, Subscribed, Transport
from tests.history import History


class Wire(Transport):
    """
    Shows ``history``. ``failures`` maps a method's name to what it raises; ``asked`` lists what was
    called; ``deaf``: a ping is not answered.
    """

    confirmed = True

    def __init__(self, history: History, name: str = "wire") -> None:
        self.name = name
        self.history = history
        self.failures: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.deaf = False
        self.shown: Image | None = None
        self.ring: Ring = {}
        self.reports: list[bytes] = []
        self.open_now = False
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.failures:
            raise self.failures[name]

    def send(self, record: Record) -> None:
        """A record on the channel."""
        self._events.put_nowait(Frame(record.encode()))

    def beat(self, ts: int) -> None:
        """A heartbeat of the history's present."""
        self._events.put_nowait(Frame(self.history.beat(ts).encode()))

    def say(self, event: Event) -> None:
        """Any event."""
        self._events.put_nowait(event)

    def cut(self, reason: str = "cut", **how: object) -> None:
        """The link breaks."""
        self._events.put_nowait(TransportDown(reason, **how))  # type: ignore[arg-type]

    async def open(self) -> None:
        self._ask("open")
        self.open_now = True
        self._events.put_nowait(Subscribed())

    async def receive(self) -> Event:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def ping(self) -> None:
        self._ask("ping")
        if not self.deaf:
            self._events.put_nowait(Pong())

    async def read_log(self, after: Position) -> list[Record] | None:
        self._ask("read_log")
        return [record for record in self.history.records if record.position > after]

    async def read_image(self) -> Image:
        self._ask("read_image")
        if self.shown is not None:
            return self.shown
        head = replace(self.history.head, bodies={})
        return Image(head, tuple(self.history.state.entries.values()), self.ring)

    async def read_bodies(self, hashes: Iterable[str]) -> dict[str, bytes]:
        self._ask("read_bodies")
        bodies = {
            sha: body for record in self.history.records for sha, body in record.bodies.items()
        }
        return {sha: bodies[sha] for sha in hashes if sha in bodies}

    async def read_trust(self) -> bytes:
        self._ask("read_trust")
        return self.history.trust.encode()

    async def read_ring(self) -> Ring:
        self._ask("read_ring")
        return self.ring

    async def send_report(self, instance: str, frame: bytes) -> None:
        self._ask("send_report")
        self.reports.append(frame)

    async def close(self) -> None:
        self.asked.append("close")
        self.open_now = False


async def no_list(document: bytes) -> None:
    """For links whose list of signing keys never changes."""
