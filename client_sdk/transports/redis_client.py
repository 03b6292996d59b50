"""
Clients of a Redis by URL, whatever stands between: a server, a socket, or sentinels.

``redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB]`` names sentinels. Every new
connection asks them for the present master anew, and one that finds itself on a replica ends; so
whoever connects again after a failover is where the others are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.settings import SENTINEL, sentinels_of

if TYPE_CHECKING:
    import redis.asyncio as redis


def redis_client(url: str, *, single: bool = False, **options: Any) -> redis.Redis:
    """
    A client that is not connected yet; ``single``: one connection for all its commands. Raises
    SettingInvalid.
    """
    import redis.asyncio as redis

    if not url.startswith(SENTINEL):
        return redis.Redis.from_url(url, single_connection_client=single, **options)
    pool = _sentinel_pool(url, options)
    return redis.Redis(connection_pool=pool, single_connection_client=single)


def redis_link(url: str, **options: Any) -> Any:
    """One bare connection that is not connected yet. Raises SettingInvalid."""
    import redis.asyncio as redis

    if not url.startswith(SENTINEL):
        pool = redis.ConnectionPool.from_url(url, **options)
    else:
        pool = _sentinel_pool(url, options)
    link = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
    link.made_by = pool  # a connection by sentinels knows its pool by a weak reference only
    return link


async def close_client(client: redis.Redis) -> None:
    """Let go of all its connections, those to sentinels too."""
    await client.aclose()
    await _close_pool(client.connection_pool)


async def close_link(link: Any) -> None:
    """The same for a bare connection."""
    await link.disconnect(nowait=True)
    await _close_pool(link.made_by)


async def _close_pool(pool: Any) -> None:
    manager = getattr(pool, "sentinel_manager", None)
    for each in () if manager is None else manager.sentinels:
        await each.aclose()
    await pool.disconnect()


def _sentinel_pool(url: str, options: dict[str, Any]) -> Any:
    from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

    hosts, service, access = sentinels_of(url)
    asking = {name: options[name] for name in _TIMEOUTS if options.get(name)}
    asking.setdefault("socket_timeout", options.get("socket_connect_timeout"))
    sentinel = Sentinel(hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]  # redis-py
    return SentinelConnectionPool(service, sentinel, **{**options, **access})  # type: ignore[no-untyped-call]  # redis-py


_TIMEOUTS = ("socket_timeout", "socket_connect_timeout", "retry")
