"""
The listening socket, guarded against those who connect and then say nothing, or say it slowly.

The HTTP library waits for a request's head without end, so a hundred sockets that send a byte a
minute stay a hundred sockets (measured: 100 of 100 open after 20 s). Each connection here is
wrapped by a guard that knows one thing: whether a request is being answered. While none is, bytes
or no bytes, there is a deadline, and at its end the connection is cut without a word. A connection
that is kept alive between requests gets it anew when the first byte of the next one comes; until
then the library's own keep-alive time counts. Bodies have a pace of their own (api/context.py).

Rejected: to time out in the handlers (a head that never ends reaches none), and to leave it to a
proxy in front (there is none in the smallest installation, which is the one that nobody watches).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp import web

HEAD_WITHIN = 8.0  # seconds
_BACKLOG = 1024  # a whole fleet connects in one moment; the kernel's own bound counts as well


class Guard(asyncio.Protocol):
    """One connection: hands everything to ``inner`` and cuts what takes longer than ``within``."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._busy = False

    def busy(self) -> None:
        """A request has come, head and all, and is being answered."""
        self._busy = True
        self._disarm()

    def idle(self) -> None:
        """It was answered."""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._inner.connection_made(transport)
        if self._connections.add(self):
            self._arm()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._deadline is None:
            self._arm()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._connections.remove(self)
        self._inner.connection_lost(exc)

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._connections.within, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        self._connections.cut += 1
        if self._transport is not None:
            self._transport.abort()


class Connections:
    """The guards of all connections, at most ``most``; ``cut`` counts those that were too slow."""

    def __init__(self, most: int, within: float = HEAD_WITHIN) -> None:
        self.within = within
        self.cut = 0
        self._most = most
        self._open: set[Guard] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, guard: Guard) -> bool:
        """False when there is no room for it."""
        if len(self._open) >= self._most:
            return False
        self._open.add(guard)
        return True

    def refuse_more(self) -> None:
        """From now on there is room for none: what the kernel had accepted already is cut."""
        self._most = 0

    def remove(self, guard: Guard) -> None:
        """It has gone."""
        self._open.discard(guard)


def guard_of(request: web.Request) -> Guard | None:
    """The guard of a request's connection; None when it is gone, or was not made here."""
    transport = request.transport
    protocol = None if transport is None else transport.get_protocol()
    return protocol if isinstance(protocol, Guard) else None


async def listen(
    make: Callable[[], asyncio.Protocol],
    connections: Connections,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
) -> asyncio.Server:
    """A socket whose connections are made by ``make`` and guarded. Raises OSError."""
    return await asyncio.get_running_loop().create_server(
        lambda: Guard(make(), connections),
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else connections.within,
        backlog=_BACKLOG,
    )
