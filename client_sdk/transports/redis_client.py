"""
Clients of a Redis by URL, whatever stands between: a server, a socket, or sentinels.

Every new connection by sentinels asks them for the present master anew, and one that finds itself
on a replica ends; so whoever connects again after a failover is where the others are. Of a cluster
each node is a server of its own here (``cluster``).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from client_sdk.redis_url import TLS_SCHEMES, group_of
from client_sdk.waiting import in_time, undisturbed

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import redis.asyncio as redis

_CLOSING = 2.0  # seconds; by TLS a peer that is gone is waited for


def redis_client(url: str, *, single: bool = False, **options: Any) -> redis.Redis:
    """
    A client that is not connected yet; ``single``: one connection for all its commands. Raises
    SettingInvalid.
    """
    import redis.asyncio as redis

    group = group_of(url)
    if group is None:
        return redis.Redis.from_url(url, single_connection_client=single, **options)
    from client_sdk.transports.sentinels import sentinel_pool

    pool = sentinel_pool(group, options)
    return redis.Redis(connection_pool=pool, single_connection_client=single)


def redis_link(url: str, **options: Any) -> Any:
    """One bare connection that is not connected yet. Raises SettingInvalid."""
    import redis.asyncio as redis

    group = group_of(url)
    if group is None:
        pool = redis.ConnectionPool.from_url(url, **options)
    else:
        from client_sdk.transports.sentinels import sentinel_pool

        pool = sentinel_pool(group, options)
    link = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
    link.made_by = pool  # a connection by sentinels knows its pool by a weak reference only
    return link


async def close_client(client: redis.Redis) -> None:
    """Let go of all its connections, those to sentinels too, also when it is cancelled."""
    await _closed(client.aclose(), client.connection_pool)


async def close_link(link: Any) -> None:
    """The same for a bare connection."""
    await _closed(link.disconnect(nowait=True), link.made_by)


async def _closed(first: Coroutine[Any, Any, None], pool: Any) -> None:
    """
    A close that is cancelled half way leaves sockets open that nobody knows any more; so does one
    that hangs or fails, if what comes after it is left out.
    """
    manager = getattr(pool, "sentinel_manager", None)
    sentinels = () if manager is None else manager.sentinels

    async def close() -> None:
        try:
            await asyncio.gather(_tried(first), *(_tried(each.aclose()) for each in sentinels))
        finally:
            await _tried(pool.disconnect())

    await undisturbed(asyncio.ensure_future(close()))


async def _tried(closing: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(Exception):  # its socket is lost either way, the others' are not
        await in_time(closing, _CLOSING)


def words_of(error: BaseException, url: str = "") -> str:
    """
    What went wrong, for people: with what to do about it where the library does not say. ``url``
    where it is the first answer of a server that is awaited.
    """
    from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

    said = str(error) or type(error).__name__
    if isinstance(error, MovedError):
        return f"the slot is at another node ({said}); a cluster is written redis+cluster://"
    if isinstance(error, AskError | TryAgainError):
        return f"the slot is being moved, nothing was run ({said}); try again"
    if isinstance(error, ClusterDownError):
        return f"the cluster does not serve this slot, nothing was run ({said})"
    return said + _advice_on_tls(said, url)


def _advice_on_tls(said: str, url: str) -> str:
    for part, advice in _TLS_ADVICE.items():
        if part in said:
            return f"; {advice}"
    if url.startswith(TLS_SCHEMES) and any(part in said for part in _FELL_SILENT):
        return f"; if this is its TLS port, perhaps {_CERTIFICATE}"
    return ""


# A server that expects something else than what a client of TLS does: it waits, or hangs up.
_FELL_SILENT = ("Timeout", "imed out", "reset by peer", "closed")
_CERTIFICATE = "it wants to know us: ?ssl_certfile=FILE&ssl_keyfile=FILE"
_TLS_ADVICE = {  # by what the TLS library says; the first that fits
    "ostname mismatch": "connect by a name in its certificate, or issue one with this name",
    "IP address mismatch": "connect by a name in its certificate, or issue one with this address",
    "has expired": "issue a new one",
    "not yet valid": "issue a new one, or set the clocks right",
    "certificate verify failed": "name the authority that signed it: ?ssl_ca_certs=FILE",
    "CERTIFICATE_REQUIRED": _CERTIFICATE,
    "certificate required": _CERTIFICATE,
    "WRONG_VERSION_NUMBER": "it does not speak TLS there; write redis://, or its TLS port",
    "record layer failure": "it does not speak TLS there; write redis://, or its TLS port",
}
