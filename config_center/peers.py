"""
The other centers: asked for what they have above the store's head before a history is adopted.

Whoever adopts first brings back what any of them acknowledged, if it answers within the deadline. A
peer proves itself by a signature over the time and the path, made with a signing key of the common
trust list: no token has to be handed round. What it sends proves itself again, line by line.
A peer that is away costs the deadline once; what it alone has comes back when it does (C7).

History comes in pages, so that neither side ever holds more than one of them and what was counted
so far. It is asked for only as far as one adoption should have to bring back, and as it comes in
time; what lies beyond is the peer's own to bring back, as orphans.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import aiohttp
import orjson

from client_sdk.errors import NotVerified
from client_sdk.records import Record, unpack
from client_sdk.vouching import vouched
from config_center.access import Actor
from config_center.checks.base import PeerFacts
from config_center.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from client_sdk.records import Position
    from client_sdk.signing import SigningKey, Verifier
    from config_center.ledger.ledger import Ledger

T = TypeVar("T")

log = logging.getLogger(__name__)

ROWS = "/v1/peer/rows"
NAMESPACES = "/v1/peer/namespaces"
_PREFIX = b"config-center/peer/1\n"
_SCHEME = "Center"
_WITHIN = 2.0  # seconds, for each answer
_IN_ALL = 10.0  # for all pages of one peer: a center that adopts serves nobody meanwhile
_LET_BE = 5.0
_CLOCKS_APART = 60.0
_MOST = 64 * 1024 * 1024  # bytes, of one answer and of all pages before the last
_MOST_ROWS = 1_000  # a second of signatures


class Peers:
    """The other centers by URL; ``key`` signs what is asked, ``verifier`` judges the answers."""

    def __init__(self, urls: Sequence[str], key: SigningKey, verifier: Verifier) -> None:
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._key = key
        self._verifier = verifier
        self._away_until: dict[str, float] = {}

    def sign_with(self, key: SigningKey) -> None:
        """Prove this center with another key from now on."""
        self._key = key

    async def ask(self, ledger: Ledger) -> None:
        """Journal what they have above the head of ``ledger`` and this center has not."""
        above = ledger.state.position
        histories = await self._all(lambda http, url: self._history(http, url, ledger.ns, above))
        found = [row for history in histories for row in history]
        counted = vouched(found, self._verifier, await self._held(ledger, found))
        rows = [row for row in found if row.c in counted]
        known = {row.c for row in rows if await ledger.journal.holds(ledger.ns, row.c)}
        new = {row.c: row for row in rows if row.c not in known}
        if new:
            log.warning("namespace %s: %d changes come from a peer", ledger.ns, len(new))
            await ledger.journal.seen(ledger.ns, list(new.values()))

    async def know(self, ns: str) -> bool:
        """True when one of them has history of a namespace of this name."""
        for raw in await self._all(lambda http, url: self._one(http, url, NAMESPACES)):
            try:
                if raw is not None and ns in orjson.loads(raw):
                    return True
            except (orjson.JSONDecodeError, TypeError):
                continue
        return False

    async def look(self) -> tuple[PeerFacts, ...]:
        """Whether each of them answers, and what its clock says."""
        timeout = aiohttp.ClientTimeout(total=_WITHIN)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
            return tuple(await asyncio.gather(*(self._look(http, url) for url in self._urls)))

    async def _look(self, http: aiohttp.ClientSession, url: str) -> PeerFacts:
        before = time.time()
        try:
            headers = sign_in(self._key, NAMESPACES, before)
            async with http.get(url + NAMESPACES, headers=headers) as answer:
                problem = "" if answer.status == 200 else f"it answers {answer.status}"
                told = answer.headers.get("Date", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            return PeerFacts(url, str(error) or "no answer in time")
        try:
            apart = parsedate_to_datetime(told).timestamp() - (before + time.time()) / 2
        except ValueError:
            return PeerFacts(url, problem)
        return PeerFacts(url, problem, apart)

    async def _history(
        self, http: aiohttp.ClientSession, url: str, ns: str, above: Position
    ) -> list[Record]:
        """What one of them has above a position, page by page; so much of it as came in time."""
        found: list[Record] = []
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IN_ALL):
                while len(found) < _MOST_ROWS and size < _MOST:
                    query = urlencode({"ns": ns, "above": str(above)})
                    raw = await self._one(http, url, f"{ROWS}?{query}") or b""
                    page = await asyncio.to_thread(_records, ns, raw)
                    if not page or page[-1].position <= above:
                        break
                    found += page
                    size, above = size + len(raw), page[-1].position
        return found

    async def _held(self, ledger: Ledger, rows: Sequence[Record]) -> set[bytes]:
        return await ledger.journal.known(ledger.ns, [row.c for row in rows])

    async def _all(self, ask: Callable[[aiohttp.ClientSession, str], Awaitable[T]]) -> list[T]:
        if not self._urls:
            return []
        timeout = aiohttp.ClientTimeout(total=_WITHIN)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
            return await asyncio.gather(*(ask(http, url) for url in self._urls))

    async def _one(self, http: aiohttp.ClientSession, url: str, path: str) -> bytes | None:
        if time.monotonic() < self._away_until.get(url, 0.0):
            return None
        try:
            headers = sign_in(self._key, path, time.time())
            async with http.get(url + path, headers=headers) as answer:
                if answer.status != 200:
                    raise ValueError(f"it answers {answer.status}")
                return await _whole(answer)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("the peer %s does not help: %s", url, str(error) or type(error).__name__)
            # Every namespace asks at a start: who is away must not cost a deadline each time.
            self._away_until[url] = time.monotonic() + _LET_BE
            return None


def _records(ns: str, raw: bytes) -> list[Record]:
    """Those of this namespace, by position; none of an answer that cannot be read."""
    try:
        records = [Record.decode(frame) for frame in unpack(raw)]
    except NotVerified as error:
        log.warning("a peer answers what cannot be read: %s", error)
        return []
    ours = [record for record in records if record.header.ns == ns]
    return sorted(ours, key=lambda record: record.position)


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """The body to its end: one read gives only what has come so far. Raises ValueError."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _MOST:
            raise ValueError(f"it answers more than {_MOST} bytes")
    return b"".join(parts)


def authenticate(verifier: Verifier, header: str | None, path: str, now: float) -> Actor:
    """
    The center behind an ``Authorization`` header for this path, ``now`` in seconds since 1970.
    Raises Problem 401.
    """
    scheme, _, rest = (header or "").partition(" ")
    try:
        kid, at, sig = rest.split(".")
        given = base64.urlsafe_b64decode(sig)
        fresh = abs(now - int(at)) <= _CLOCKS_APART
    except (ValueError, binascii.Error):
        scheme, fresh, kid, at, given = "", False, "", "", b""
    known = scheme == _SCHEME and fresh
    if not known or not verifier.verify(kid, _PREFIX, f"{at} {path}".encode(), given):
        raise Problem("unauthorized", "only another center of this trust list may ask for this")
    return Actor(f"center {kid[:8]}", "peer")


def sign_in(key: SigningKey, path: str, now: float) -> dict[str, str]:
    """The header by which a center proves itself for one path."""
    at = str(int(now))
    sig = base64.urlsafe_b64encode(key.sign(_PREFIX, f"{at} {path}".encode())).decode("ascii")
    return {"Authorization": f"{_SCHEME} {key.kid}.{at}.{sig}"}
