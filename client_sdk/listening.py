"""
The listening socket of a program, guarded against those who connect and then say nothing, say it
slowly, or do not read.

The HTTP library waits for a request's head without end, so a hundred sockets that send a byte a
minute stay a hundred sockets (measured: 100 of 100 open after 20 s). It waits without end as well
until somebody takes an answer. Each connection here is wrapped by a guard that knows two things:

* **Whether a request is being answered.** While none is, bytes or no bytes, there is a deadline,
  and at its end the connection is cut without a word. A connection that is kept alive between
  requests gets it anew when the first byte of the next one comes; until then the library's own
  keep-alive time counts. Bodies have a pace of their own (config_center/api/context.py).
* **Whether what we sent is taken.** While bytes of ours wait in this process they have to go at a
  pace, or be gone in time: whoever takes nothing, or a byte now and then, is cut, and what he did
  not read goes with him. Long answers over slow lines keep the pace and have all the time.

A thousand that came together are cut a few in each turn of the event loop, after one another: each
of them costs a tenth of a millisecond, and who asks for something meanwhile would wait for all
(client_sdk/turns.py). Cut means that what waits is thrown away: the library closes a connection
whose other end sends no more, and that alone would wait without end for a reader who takes a little
now and then.

What the kernel holds is bounded too: it takes little beyond what is on its way (TCP_NOTSENT_LOWAT),
and ends a connection whose other end acknowledges nothing, or has no room, for a little longer than
we would wait (TCP_USER_TIMEOUT). Both are Linux; elsewhere our own buffer is what is looked at. A
reader whose buffers still have room cannot be told from one that reads, and costs no more than he.

No address holds more than its share of the room. Behind a proxy all have the address of the proxy,
so there that is its business.

Rejected: to time out in the handlers (a head that never ends reaches none, and an answer that
nobody takes is no longer theirs), a sweep over all connections (nothing happens on most of them),
and to leave it to a proxy in front (there is none in the smallest installation, which is the one
that nobody watches).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.addresses import network_of
from client_sdk.turns import Turns

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from aiohttp import web

HEAD_WITHIN = 8.0  # seconds
UNREAD_WITHIN = 5.0
PACE = 16 * 1024  # bytes a second
_BACKLOG = 1024  # a whole fleet connects in one moment; the kernel's own bound counts as well
_UNSENT = 16 * 1024  # bytes that the kernel takes beyond what is on its way
_KERNEL_LATER = 1.25  # it ends hundreds in one moment, our timers each one at its own


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How many connections there may be in all, and of one address (None: as many); how many seconds
    a request's head may take, and what was sent may wait to be taken unless ``pace`` bytes of it
    are, each second.
    """

    most: int
    per_address: int | None = None
    head: float = HEAD_WITHIN
    unread: float = UNREAD_WITHIN
    pace: int = PACE


class Guard(asyncio.Protocol):
    """One connection: hands everything to ``inner`` and cuts what is too slow."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._waiting = 0  # bytes, when we looked last
        self._busy = False
        self._over = False  # cut by us, or gone by itself
        self.address = ""

    def busy(self) -> None:
        """A request has come, head and all, and is being answered."""
        self._busy = True
        self._stop_head()

    def idle(self) -> None:
        """It was answered."""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.address = _address(transport)
        if not self._connections.add(self):
            self._inner = asyncio.Protocol()  # who answers is gone, or never hears of this one
            transport.abort()
            return
        self._inner.connection_made(transport)
        transport.set_write_buffer_limits(high=1, low=0)  # we hear of every byte that waits
        _bound_kernel(transport, self._connections.bounds.unread)
        self._start_head()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._head is None:
            self._start_head()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()
        self._waiting = self._transport.get_write_buffer_size()
        self._start_unread()

    def resume_writing(self) -> None:
        self._stop_unread()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._stop_head()
        self._stop_unread()
        self._connections.cut += isinstance(exc, TimeoutError)  # the kernel lost patience first
        self._connections.remove(self)
        # Not why: the library raises it in whoever waits to send, and an error that the frames of a
        # stream hold, and that holds them, stays until the next full collection.
        self._inner.connection_lost(None)

    def _start_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head = loop.call_later(self._connections.bounds.head, self._too_slow)

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _start_unread(self) -> None:
        loop = asyncio.get_running_loop()
        self._unread = loop.call_later(self._connections.bounds.unread, self._look)

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _look(self) -> None:
        bounds = self._connections.bounds
        waited, self._waiting = self._waiting, self._transport.get_write_buffer_size()
        if waited - self._waiting < bounds.pace * bounds.unread:
            self._too_slow()
        else:
            self._start_unread()

    def _too_slow(self) -> None:
        self._connections.cut_soon(self)

    def abort(self) -> bool:
        """Cut it now, also one that is being closed. False when it was over before."""
        was_over, self._over = self._over, True
        if not was_over:
            self._transport.abort()
        return not was_over


class Connections:
    """
    The guards of all connections; ``cut`` counts those that were too slow, ``clock`` gives seconds.
    """

    def __init__(self, bounds: Bounds, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounds = bounds
        self._clock = clock
        self._turns = Turns()
        self.cut = 0
        self._closed = False
        self._open: set[Guard] = set()
        self._slow: deque[Guard] = deque()
        self._next_cut: asyncio.Handle | None = None
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, guard: Guard) -> bool:
        """False when there is no room for it."""
        bounds = self.bounds
        if self._closed or len(self._open) >= bounds.most:
            return False
        if bounds.per_address is not None and self._of_address[guard.address] >= bounds.per_address:
            return False
        self._open.add(guard)
        self._of_address[guard.address] += 1
        return True

    def refuse_more(self) -> None:
        """From now on there is room for none: what the kernel had accepted already is cut."""
        self._closed = True

    def cut_soon(self, guard: Guard) -> None:
        """Cut one that was too slow, after those that were before it."""
        self._slow.append(guard)
        if self._next_cut is None:
            self._next_cut = asyncio.get_running_loop().call_soon(self._cut_some)

    def _cut_some(self) -> None:
        self._next_cut = None
        for _ in range(self._turns.share(len(self._slow), self._clock())):
            self.cut += self._slow.popleft().abort()
        if self._slow:
            self._next_cut = asyncio.get_running_loop().call_soon(self._cut_some)

    def remove(self, guard: Guard) -> None:
        """It has gone."""
        if guard not in self._open:
            return
        self._open.remove(guard)
        self._of_address[guard.address] -= 1
        if not self._of_address[guard.address]:
            del self._of_address[guard.address]


@contextlib.contextmanager
def answering(request: web.Request) -> Iterator[None]:
    """Tell the guard of a request's connection, where it has one, that it is being answered."""
    transport = request.transport
    protocol = None if transport is None else transport.get_protocol()
    if not isinstance(protocol, Guard):
        yield
        return
    protocol.busy()
    try:
        yield
    finally:
        protocol.idle()


def send_no_further(request: web.Request) -> None:
    """
    Have the kernel take nothing more for this connection while it holds bytes that are not on their
    way: an answer without end learns so after one event, not after many, that nobody reads it.
    """
    if request.transport is not None:
        _set(request.transport, "TCP_NOTSENT_LOWAT", 1)


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
        ssl_handshake_timeout=None if tls is None else connections.bounds.head,
        backlog=_BACKLOG,
    )


def _address(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    text = str(peer[0]) if isinstance(peer, tuple) else ""
    return network_of(text.partition("%")[0]) or text


def _bound_kernel(transport: asyncio.Transport, seconds: float) -> None:
    _set(transport, "TCP_USER_TIMEOUT", int(seconds * _KERNEL_LATER * 1000))
    _set(transport, "TCP_NOTSENT_LOWAT", _UNSENT)


def _set(transport: asyncio.BaseTransport, name: str, value: int) -> None:
    connection, option = transport.get_extra_info("socket"), getattr(socket, name, None)
    if option is not None:
        with contextlib.suppress(OSError):  # a socket that is gone, or of another family
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
