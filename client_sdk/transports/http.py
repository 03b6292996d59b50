"""
Records over the center's HTTP: server-sent events for the news, plain requests for reads.

For hosts that must not reach Redis, and as the second path. The stream is opened without a
position: what may have been missed is the replica's business, as everywhere. Bytes of the stream
are its sign of life, and answer a ping.

Some proxies keep a stream back until it ends. So a stream counts once its first event came; where
none does, the same news is had by long polls, an answer a second, and now and then the stream is
tried again beside them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import collections
import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import MissingExtra, NotVerified, TransportDown
from client_sdk.image import Image
from client_sdk.records import Position, Record, decode, unpack
from client_sdk.transports.base import Event, Frame, Pong, Subscribed, Transport
from client_sdk.waiting import ended, in_time, undisturbed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.image import Ring

_MAX_LINE = 4 * 1024 * 1024
_PERMANENT = (400, 401, 403, 404)
_STREAM_AGAIN = 60.0  # seconds of polls until the stream is tried again
_BREATH = 0.5  # seconds between polls that were answered at once with nothing new
_TOO_MANY = 429
_TRIES = 3
_DIGITS = 9  # of a number of seconds; more is for ever


class HttpTransport(Transport):
    """One namespace at one center, by URL (http, https)."""

    name = "http"

    def __init__(
        self,
        url: str,
        ns: str,
        token: str | None = None,
        *,
        confirmed: bool = False,
        timeout: float = 5.0,
        stream_again: float = _STREAM_AGAIN,
    ) -> None:
        self._base = url.rstrip("/")
        self._ns_url = f"{self._base}/v1/namespaces/{ns}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self.confirmed = confirmed
        self._session: Any = None
        self._stream: Any = None  # None: by polls
        self._stream_again = stream_again
        self._opening: asyncio.Task[Any] | None = None
        self._events: collections.deque[Event] = collections.deque()
        self._after = ""  # the position that polls have told of
        self._pinged = False
        self._reading: asyncio.Task[Event] | None = None

    async def open(self) -> None:
        try:
            import aiohttp
        except ImportError as error:
            raise MissingExtra("a center by http", "http") from error
        self._session = aiohttp.ClientSession(
            headers=self._headers, read_bufsize=_MAX_LINE, trust_env=False
        )
        self._patience = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout)
        try:
            await in_time(self._subscribe(), self._timeout)
        except BaseException as error:
            await self.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _down(error) from error

    async def _subscribe(self) -> None:
        try:
            self._stream = await in_time(self._begun(), self._timeout / 2)
        except asyncio.TimeoutError:
            await self._poll()
            self._try_again()
        self._events.appendleft(Subscribed())

    async def _begun(self) -> Any:
        """A stream whose first event came through."""
        url, form = f"{self._ns_url}/watch", {"as": "records"}
        stream = await self._session.get(url, params=form, timeout=self._patience)
        try:
            await self._check(stream)
            await _first_event(stream)
        except BaseException:
            stream.close()
            raise
        return stream

    async def receive(self) -> Event:
        if self._reading is None:
            self._reading = asyncio.create_task(self._next_event())
        await asyncio.wait((self._reading,))  # cancelled here, the read goes on for the next call
        reading, self._reading = self._reading, None
        return reading.result()

    async def _next_event(self) -> Event:
        try:
            while not self._events:
                await (self._poll_on() if self._stream is None else self._read_on())
        except Exception as error:  # also aiohttp's own errors; the library is loaded lazily
            raise _down(error) from error
        return self._events.popleft()

    async def _read_on(self) -> None:
        """Read the stream up to the next event."""
        while True:
            line = await self._stream.content.readline()
            if not line:
                raise TransportDown("the center ended the stream")
            text = line.rstrip(b"\r\n")
            if text.startswith(b"data: "):
                self._events.append(Frame(_decoded(text[6:])))
                return
            if text.startswith(b":") and self._pinged:
                self._pinged = False
                self._events.append(Pong())
                return

    async def _poll_on(self) -> None:
        if self._opening is not None and self._opening.done():
            opening, self._opening = self._opening, None
            if not opening.cancelled() and opening.exception() is None:
                self._stream = opening.result()
                self._events.append(Subscribed())
                return
            self._try_again()
        began = time.monotonic()
        if not await self._poll() and time.monotonic() - began < _BREATH:
            await asyncio.sleep(_BREATH)

    async def _poll(self) -> bool:
        """Ask for the news once; False when there was nothing above what was told."""
        before = self._after
        params = {"after": before} if before else {}
        raw, _ = await self._request("GET", f"{self._ns_url}/news", params=params)
        try:
            frames = unpack(raw)
            told = [decode(frame).position for frame in frames]
        except NotVerified as error:
            raise TransportDown(f"the center's news cannot be read: {error}") from error
        if told:
            self._after = str(max(told))
        if self._pinged:
            self._pinged = False
            self._events.append(Pong())
        self._events.extend(map(Frame, frames))
        return self._after != before

    def _try_again(self) -> None:
        async def later() -> Any:
            await asyncio.sleep(self._stream_again)
            return await in_time(self._begun(), self._timeout)

        self._opening = asyncio.create_task(later(), name="config stream")

    async def ping(self) -> None:
        """
        The answer is the next comment on the stream itself, which a center writes while it has
        nothing else to say: an answer on another connection would prove nothing about this one.
        """
        self._pinged = True

    async def read_log(self, after: Position) -> list[Record] | None:
        records: list[Record] = []
        while True:
            try:
                raw, headers = await self._get(f"{self._ns_url}/records", after=str(after))
            except _HistoryIncomplete:
                return None
            try:
                page = [Record.decode(frame) for frame in unpack(raw)]
            except NotVerified as error:
                raise TransportDown(f"the center's records cannot be read: {error}") from error
            records += page
            if not page or "X-Config-More" not in headers:
                return records
            after = page[-1].position

    async def read_image(self) -> Image:
        raw, _ = await self._get(f"{self._ns_url}/snapshot")
        return await asyncio.to_thread(Image.decode, raw)

    async def read_bodies(self, hashes: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for sha in hashes:
            found[sha], _ = await self._get(f"{self._ns_url}/objects/{sha}")
        return found

    async def read_trust(self) -> bytes:
        raw, _ = await self._get(f"{self._base}/v1/trust")
        return raw

    async def read_ring(self) -> Ring:
        raw, _ = await self._get(f"{self._ns_url}/ring")
        try:
            return {str(dek): str(entry) for dek, entry in orjson.loads(raw).items()}
        except (ValueError, AttributeError) as error:
            raise TransportDown(f"the center's ring cannot be read: {error}") from error

    async def send_report(self, instance: str, frame: bytes) -> None:
        await self._request("POST", f"{self._ns_url}/reports", data=frame)

    async def close(self) -> None:
        # Whoever ends a task asks again until it has ended, so a close is cancelled half way.
        await undisturbed(asyncio.ensure_future(self._let_go()))

    async def _let_go(self) -> None:
        try:
            await ended(self._reading, self._opening)
        finally:
            opening = self._opening
            if opening is not None and not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            self._reading = self._opening = None
            if self._stream is not None:
                self._stream.close()
            if self._session is not None:
                await self._session.close()

    async def _get(self, url: str, **params: str) -> tuple[bytes, Any]:
        """
        A read. A center that has too many of them now is asked again when it says so: giving up
        the stream for it, and coming anew, would make more of what there is too much of.
        """
        for _ in range(_TRIES):
            try:
                return await self._request("GET", url, params=params)
            except _TooMany as error:
                wait = min(error.retry_after, self._timeout)
                await asyncio.sleep(wait + random.uniform(0.0, wait))
        return await self._request("GET", url, params=params)

    async def _request(self, method: str, url: str, **options: Any) -> tuple[bytes, Any]:
        async def answer() -> tuple[bytes, Any]:
            async with self._session.request(method, url, **options) as response:
                await self._check(response)
                return await response.read(), response.headers

        try:
            return await in_time(answer(), self._timeout)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise _down(error) from error

    async def _check(self, response: Any) -> None:
        if response.status < 300:
            return
        detail, problem = f"the center answered {response.status}", ""
        if "json" in response.content_type:
            plain = await response.json(content_type=None)
            detail, problem = plain.get("detail", detail), plain.get("type", "")
        if problem.endswith(":history-incomplete"):
            raise _HistoryIncomplete(detail)
        kind = _TooMany if response.status == _TOO_MANY else TransportDown
        raise kind(
            detail,
            permanent=response.status in _PERMANENT,
            retry_after=seconds_of(response.headers.get("Retry-After", ""), time.time()),
        )


class _HistoryIncomplete(TransportDown):
    """The center's log does not reach back."""


class _TooMany(TransportDown):
    """The center has too many requests now."""


def seconds_of(header: str, now: float) -> float:
    """
    What a ``Retry-After`` asks for: seconds, or a date as proxies write it. ``now`` in seconds
    since 1970; 0.0 for what is neither, or is past.
    """
    if header.isascii() and header.isdigit():
        return float(header[:_DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, IndexError):
        return 0.0


async def _first_event(stream: Any) -> None:
    """Read what a center says first: that the stream has begun."""
    while (line := await stream.content.readline()).strip():
        if line.startswith(b"data: "):
            await stream.content.readline()
            return
    raise TransportDown("the center ended the stream")


def _decoded(data: bytes) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise TransportDown("the stream is not one of signed records") from error


def _down(error: BaseException) -> TransportDown:
    if isinstance(error, TransportDown):
        return error
    return TransportDown(f"http: {str(error) or type(error).__name__}")
