"""
Records over Redis: a reader of our own on a bare connection.

Redis pub/sub is at most once, and redis-py's own reader re-subscribes without a word: three of
three messages were lost without an exception. So this one never reconnects. It subscribes, waits
for the confirmation, and turns everything that follows into an event or into TransportDown. One
task reads the socket into a bounded queue, because a read that is cancelled half-way would lose the
rest of its message; a full queue drops the link, which costs a catch-up and no change.

Reads go over a second connection with deadlines and without retries.

Of a cluster both go to the node that owns the namespace's slot, found anew at every ``open``. When
the slot moves, the server ends the subscription unasked, and a read is sent elsewhere: either is
TransportDown, and who opens again is where the slot is. Only while it moves, when nothing is run, a
read is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from client_sdk.errors import NotVerified, TransportDown
from client_sdk.image import Image, decode_row
from client_sdk.records import MAX_FRAME, START, Position, Record
from client_sdk.redis_url import group_of
from client_sdk.transports.base import Event, Frame, Pong, Subscribed, Transport
from client_sdk.transports.cluster import Cluster, settled
from client_sdk.transports.keyspace import Keyspace
from client_sdk.transports.redis_client import (
    close_client,
    close_link,
    redis_client,
    redis_link,
    words_of,
)
from client_sdk.waiting import ended, in_time, undisturbed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    import redis.asyncio as redis

    from client_sdk.image import Ring
    from client_sdk.state import Entry

_QUEUE = 1000
_REPORTS_KEPT = 100


class RedisTransport(Transport):
    """One namespace on a Redis, by URL (redis, rediss, unix; +sentinel, +cluster)."""

    name = "redis"

    def __init__(self, url: str, ns: str, timeout: float = 5.0) -> None:
        self._url = url
        self._ns = ns
        self._keys = Keyspace(ns)
        self._timeout = timeout
        self._link: Any = None
        self._reads: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Event | TransportDown] = asyncio.Queue(_QUEUE)

    async def open(self) -> None:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        options: dict[str, Any] = {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        try:
            await in_time(self._connect(options), self._timeout)
        except BaseException as error:
            await self.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _down(error, self._url) from error
        self._reader = asyncio.create_task(self._read_for_ever(), name=f"redis link of {self._ns}")

    async def _connect(self, options: dict[str, Any]) -> None:
        url, subscribe, group = self._url, "SUBSCRIBE", group_of(self._url)
        if group is not None and group.kind == "cluster":
            owner = await Cluster(group, options).owner(self._ns)
            url, subscribe = group.url_of(owner), "SSUBSCRIBE"
        self._reads = redis_client(url, max_connections=4, **options)
        self._link = redis_link(url, **{**options, "socket_timeout": None})
        await self._link.connect()
        if subscribe == "SUBSCRIBE":
            await self._refuse_cluster()
        await self._link.send_command(subscribe, self._keys.events)
        reply = await self._link.read_response()
        self._events.put_nowait(_event(reply))

    async def _refuse_cluster(self) -> None:
        """A node of a cluster would take the plain subscription, and never say a word."""
        from redis.exceptions import ResponseError

        await self._link.send_command("HELLO")
        try:
            about = list(await self._link.read_response(disconnect_on_error=False))
        except ResponseError:  # a proxy that does not know it
            return
        if b"mode" in about and about[about.index(b"mode") + 1] == b"cluster":
            raise TransportDown(
                "redis: this server is a node of a cluster; write redis+cluster://HOST:PORT",
                permanent=True,
            )

    async def _read_for_ever(self) -> None:
        try:
            while True:
                event = _event(await self._link.read_response(disconnect_on_error=False))
                self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._end(TransportDown("this process does not keep up with the messages"))
        except Exception as error:  # whatever a socket or a parser makes of trouble
            self._end(_down(error))

    def _end(self, error: TransportDown) -> None:
        while self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(error)

    async def receive(self) -> Event:
        event = await self._events.get()
        if isinstance(event, TransportDown):
            raise event
        return event

    async def ping(self) -> None:
        try:
            await in_time(self._link.send_command("PING"), self._timeout)
        except Exception as error:
            raise _down(error) from error

    async def read_log(self, after: Position) -> list[Record] | None:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            pipe = redis.pipeline(transaction=True)
            pipe.xrange(self._keys.log, min=f"({after}", max="+")
            pipe.xrange(self._keys.log, min="-", max="+", count=1)
            return pipe.execute()

        rows, oldest = await self._read(ask)
        if after > START and not (oldest and _follows(oldest[0][0], after)):
            return None  # also an empty log: it is never trimmed to nothing
        try:
            return [Record.decode(fields[b"r"]) for _, fields in rows]
        except (NotVerified, KeyError) as error:
            raise TransportDown(f"the log cannot be read: {error}") from error

    async def read_image(self) -> Image:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            pipe = redis.pipeline(transaction=True)
            pipe.hget(self._keys.head, "rec")
            pipe.hgetall(self._keys.current)
            pipe.hgetall(self._keys.ring)
            return pipe.execute()

        frame, rows, ring = await self._read(ask)
        if frame is None:
            raise TransportDown(f"the store holds nothing for the namespace {self._ns!r}")
        entries = await asyncio.to_thread(_decode_rows, rows)
        image = Image(Record.decode(frame), entries, _texts(ring))
        missing = image.missing()
        return image.with_bodies(await self.read_bodies(missing)) if missing else image

    async def read_bodies(self, hashes: Iterable[str]) -> dict[str, bytes]:
        wanted = list(hashes)
        if not wanted:
            return {}
        names = [self._keys.body(sha) for sha in wanted]
        found = await self._read(lambda redis: redis.mget(names))
        return {sha: body for sha, body in zip(wanted, found) if body is not None}  # noqa: B905  # 3.10 has strict=, but MGET answers one for one

    async def read_trust(self) -> bytes:
        document = await self._read(lambda redis: redis.get(self._keys.trust))
        if document is None:
            raise TransportDown(f"the store has no list of signing keys for {self._ns!r}")
        return bytes(document)

    async def read_ring(self) -> Ring:
        return _texts(await self._read(lambda redis: redis.hgetall(self._keys.ring)))

    async def send_report(self, instance: str, frame: bytes) -> None:
        stream = self._keys.reports(instance)
        await self._read(lambda redis: redis.xadd(stream, {"r": frame}, maxlen=_REPORTS_KEPT))

    async def close(self) -> None:
        await undisturbed(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        try:
            await ended(self._reader)
        finally:
            for each, close in ((self._link, close_link), (self._reads, close_client)):
                if each is not None:
                    with contextlib.suppress(Exception):
                        await close(each)

    async def _read(self, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any:
        try:
            answer = await in_time(self._answer(ask), self._timeout)
        except asyncio.TimeoutError as error:
            raise _down(error) from error
        if isinstance(answer, TransportDown):
            raise answer
        return answer

    async def _answer(self, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any:
        """An error is handed back: raised in a read that was given up, it would be nobody's."""
        until = time.monotonic() + self._timeout
        try:
            return await settled(lambda: ask(self._reads), until)
        except Exception as error:  # whatever a socket or a parser makes of trouble
            return _down(error)


def _follows(row: bytes, after: Position) -> bool:
    """True when a log that begins with ``row`` holds all after a position."""
    return Position.parse(row.decode()).v <= after.v + 1


def _event(reply: Any) -> Event:
    kind = reply[0] if isinstance(reply, list | tuple) else reply
    if kind in (b"message", b"smessage"):
        # Beyond its bound it is dropped whatever it says, and a queue of such would be gigabytes.
        return Frame(reply[2][: MAX_FRAME + 1])
    if kind in (b"subscribe", b"ssubscribe"):
        return Subscribed()
    if kind in (b"pong", b"PONG"):
        return Pong()
    raise TransportDown(f"the server ended the subscription ({kind!r})")


def _down(error: BaseException, url: str = "") -> TransportDown:
    if isinstance(error, TransportDown):
        return error
    return TransportDown(f"redis: {words_of(error, url)}")


def _decode_rows(rows: Mapping[bytes, bytes]) -> tuple[Entry, ...]:
    entries = tuple(map(decode_row, rows.values()))
    for name, entry in zip(rows, entries):  # noqa: B905  # both are made of the same rows
        if name != entry.key.encode("utf-8"):
            raise NotVerified(f"the row of {name!r} is that of {entry.key!r}")
    return entries


def _texts(ring: Mapping[bytes, bytes]) -> Ring:
    """What is no text was put there by somebody else, and opens nothing."""
    texts = {}
    for dek, entry in ring.items():
        with contextlib.suppress(UnicodeDecodeError):
            texts[dek.decode()] = entry.decode()
    return texts
