"""
A bad network between a program and what it talks to: TCP, without looking inside.

Laws:

* **A cut is an abort**: neither side hears a goodbye, as when a cable is pulled and a router says
  reset.
* **A black hole keeps what it swallowed**, as TCP does: once it is healed, the sender's kernel
  sends again whatever the receiver never confirmed. A proxy that threw bytes away and then went on
  would show a stream with a hole in it, which no network shows.
* Every connection is one task of the proxy's; when the proxy is closed, none is left.

Rejected: a proxy in a process of its own (toxiproxy): another thing to install, and a test could
not say "now" without a round trip.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from typing import TYPE_CHECKING

from client_sdk.waiting import ended

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK = 65536
_AT_ONCE = struct.pack("ii", 1, 0)
TO_SERVER = "to-server"
TO_CLIENT = "to-client"


class Cut(Exception):
    """This connection ends here."""


class FaultyTcp:
    """
    Listens on a port of its own and passes everything on to ``backend`` (``host:port``, or the path
    of a unix socket)::

        async with FaultyTcp("127.0.0.1:8848") as network:
            client = await Client.connect(f"http://127.0.0.1:{network.port}", ...)
            network.blackhole()

    Set at will: ``backend`` (the next connections go there, as behind a virtual address),
    ``refusing``, ``latency`` (seconds a piece), ``rate`` (bytes a second, 0: no limit),
    ``end_after`` (bytes towards the client after which a new connection is cut).
    """

    def __init__(self, backend: str, *, rng: random.Random | None = None) -> None:
        self.backend = backend
        self.rng = rng or random.Random()
        self.refusing = False
        self.latency = 0.0
        self.rate = 0.0
        self.end_after: int | None = None
        self.connections = 0
        self._gates = {TO_SERVER: asyncio.Event(), TO_CLIENT: asyncio.Event()}
        self._open: dict[asyncio.Task[None], Passage] = {}
        self._server: asyncio.AbstractServer | None = None
        self._port = 0
        self.heal()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1; 0 before it was entered."""
        return self._port

    @property
    def open(self) -> int:
        """How many connections go through it now."""
        return len(self._open)

    def blackhole(self, *directions: str) -> None:
        """Swallow everything, or what goes ``TO_SERVER`` or ``TO_CLIENT`` only."""
        for direction in directions or self._gates:
            self._gates[direction].clear()

    def heal(self) -> None:
        """Pass everything on again, also what was swallowed; accept connections again."""
        self.refusing = False
        for gate in self._gates.values():
            gate.set()

    def cut(self) -> int:
        """End every connection of this moment; how many there were."""
        passages = list(self._open.values())
        for passage in passages:
            passage.abort()
        return len(passages)

    def is_passable(self, direction: str) -> bool:
        """Whether bytes of this direction pass now."""
        return self._gates[direction].is_set()

    async def passable(self, direction: str) -> None:
        """Wait until bytes of this direction may pass."""
        await self._gates[direction].wait()

    def passage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Passage:
        """What carries one connection; a proxy that looks inside has another."""
        return Passage(self, reader, writer)

    async def __aenter__(self) -> FaultyTcp:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await ended(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        passage = self.passage(reader, writer)
        if task is None or self.refusing:
            passage.abort()
            return
        self.connections += 1
        self._open[task] = passage
        try:
            await passage.run()
        except asyncio.CancelledError:
            pass  # the proxy closes; asyncio would log it as an error of its server
        finally:
            passage.abort()
            del self._open[task]


class Passage:
    """One connection: two pumps, and what happens to the bytes between them."""

    def __init__(
        self, proxy: FaultyTcp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.client = writer
        self._reader = reader
        self._server: asyncio.StreamWriter | None = None
        self._left = proxy.end_after

    async def run(self) -> None:
        """Carry bytes until either side ends, or it is cut."""
        try:
            reader, self._server = await self._connect()
        except OSError:
            return
        pumps = [
            asyncio.ensure_future(self._pump(TO_SERVER, self._reader, self._server)),
            asyncio.ensure_future(self._pump(TO_CLIENT, reader, self.client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await ended(*pumps)

    def abort(self) -> None:
        """End both sides without a goodbye."""
        for writer in (self.client, self._server):
            if writer is not None:
                _reset(writer)

    def treat(self, direction: str, data: bytes) -> Iterable[bytes]:
        """What passes on of these bytes, in this order. Raises Cut."""
        del direction
        return (data,)

    async def send(self, direction: str, piece: bytes, writer: asyncio.StreamWriter) -> None:
        """Pass one piece on, when and as far as the network lets it. Raises Cut, OSError."""
        proxy = self.proxy
        wait = proxy.latency + (len(piece) / proxy.rate if proxy.rate else 0.0)
        if wait:
            await asyncio.sleep(wait)
        await proxy.passable(direction)
        if direction == TO_CLIENT and self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        writer.write(piece)
        await writer.drain()
        if self._left == 0:
            await _flushed(writer)
            raise Cut

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, colon, port = self.proxy.backend.rpartition(":")
        if colon and port.isdigit():
            return await asyncio.open_connection(host, int(port))
        return await asyncio.open_unix_connection(self.proxy.backend)

    async def _pump(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(Cut, OSError):
            while data := await reader.read(_CHUNK):
                for piece in self.treat(direction, data):
                    await self.send(direction, piece, writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other end is told "reset" instead of "that was all"."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family != getattr(socket, "AF_UNIX", None):
        with contextlib.suppress(OSError):  # it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


async def _flushed(writer: asyncio.StreamWriter) -> None:
    """Until the kernel has what was written: an abort would throw it away."""
    while writer.transport.get_write_buffer_size():  # noqa: ASYNC110  # asyncio says no more
        await asyncio.sleep(0)
