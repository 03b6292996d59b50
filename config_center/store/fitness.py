"""
What a server says of itself, asked on one connection of its own: version, settings, replicas, time,
and what its user may not send.

Rights are tried without doing anything: inside MULTI the server refuses a command that the user may
not send when it is queued, and DISCARD throws the rest away. Rejected: ``ACL DRYRUN`` and ``ACL
GETUSER``, which need rights that no center's user should have.
"""

from __future__ import annotations

import re
import time
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from client_sdk.transports.keyspace import Keyspace
from client_sdk.transports.redis_client import close_link, redis_link
from config_center.checks.base import StoreFacts

_KEYS = Keyspace("doctor")
_KEY, _OTHER = _KEYS.head, _KEYS.log
_SETTINGS = ("append*", "maxmemory*", "min-replicas-to-write")

# Every command a center sends after it has said hello, in a form that the server takes.
RIGHTS: dict[str, tuple[str, ...]] = {
    "info": ("INFO",),
    "config|get": ("CONFIG", "GET", "appendonly"),
    "time": ("TIME",),
    "wait": ("WAIT", "0", "1"),
    "evalsha": ("EVALSHA", "0" * 40, "1", _KEY),
    "script|load": ("SCRIPT", "LOAD", "return 1"),
    "publish": ("PUBLISH", _KEYS.events, ""),
    "spublish": ("SPUBLISH", _KEYS.events, ""),
    "get": ("GET", _KEY),
    "mget": ("MGET", _KEY),
    "set": ("SET", _KEY, ""),
    "mset": ("MSET", _KEY, ""),
    "del": ("DEL", _KEY),
    "unlink": ("UNLINK", _KEY),
    "exists": ("EXISTS", _KEY),
    "rename": ("RENAME", _KEY, _OTHER),
    "scan": ("SCAN", "0"),
    "object|idletime": ("OBJECT", "IDLETIME", _KEY),
    "memory|usage": ("MEMORY", "USAGE", _KEY),
    "hget": ("HGET", _KEY, "f"),
    "hmget": ("HMGET", _KEY, "f"),
    "hgetall": ("HGETALL", _KEY),
    "hset": ("HSET", _KEY, "f", ""),
    "hsetnx": ("HSETNX", _KEY, "f", ""),
    "hdel": ("HDEL", _KEY, "f"),
    "hexists": ("HEXISTS", _KEY, "f"),
    "xadd": ("XADD", _KEY, "*", "f", ""),
    "xrange": ("XRANGE", _KEY, "-", "+"),
    "xread": ("XREAD", "STREAMS", _KEY, "0"),
    "xlen": ("XLEN", _KEY),
    "xtrim": ("XTRIM", _KEY, "MAXLEN", "0"),
    "xinfo|stream": ("XINFO", "STREAM", _KEY),
    "zadd": ("ZADD", _KEY, "0", "m"),
    "zrem": ("ZREM", _KEY, "m"),
    "zrangebyscore": ("ZRANGEBYSCORE", _KEY, "0", "1"),
}


async def look(url: str, options: dict[str, Any], *, publish: str) -> StoreFacts:
    """
    The facts of the server at ``url``; ``publish`` is the command that tells its subscribers.
    Raises RedisError when it cannot be asked.
    """
    link = redis_link(url, **options)
    try:
        await link.connect()
        info = _fields(await _ask(link, "INFO") or b"")
        config = await _ask(link, "CONFIG", "GET", *_SETTINGS)
        product = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version", "")
        return StoreFacts(
            product=product,
            version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
            config=None if config is None else _pairs(config),
            replicas=sum(_is_online(info, name) for name in info),
            used_bytes=int(info.get("used_memory", "0")),
            clustered=info.get("cluster_enabled") == "1",
            as_cluster=publish == "SPUBLISH",
            denied=await _denied(link, {"publish", "spublish"} - {publish.lower()}),
            clock_apart=await _clock_apart(link),
        )
    finally:
        await close_link(link)


async def _ask(link: Any, *command: str) -> Any:
    """The answer, or None where the server does not allow or does not know the command."""
    await link.send_command(*command)
    try:
        return await link.read_response()
    except ResponseError:
        return None


async def _clock_apart(link: Any) -> float | None:
    before = time.time()
    told = await _ask(link, "TIME")
    if told is None:
        return None
    return int(told[0]) + int(told[1]) / 1e6 - (before + time.time()) / 2


async def _denied(link: Any, unused: set[str]) -> tuple[str, ...]:
    if await _ask(link, "MULTI") is None:
        return ("multi",)
    denied = []
    for name, command in RIGHTS.items():
        if name in unused:
            continue
        await link.send_command(*command)
        try:
            await link.read_response()
        except NoPermissionError:
            denied.append(name)
        except ResponseError:  # not known to this server, or on another node: no matter of rights
            continue
    await _ask(link, "DISCARD")
    return tuple(denied)


def _is_online(info: dict[str, str], name: str) -> bool:
    return bool(re.fullmatch(r"slave\d+", name)) and "state=online" in info[name]


def _fields(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines) if value}


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [part.decode("utf-8", "replace") for part in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
