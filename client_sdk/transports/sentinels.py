"""
Sentinels that many connections ask at once.

redis-py moves the sentinel that answered to the head of its list by a swap, and awaits between its
look at the list and the swap: of two calls at once the second puts back what the first one moved.
Then one sentinel stands there twice and another not at all. It is never closed, and a service whose
other sentinels die is not found any more though this one lives. So each call moves what is in a
list of its own here, and puts the whole of it back. (A lock was rejected: all would wait for the
one that asks a dead host.)

They are asked one after the other, so one that is silent may not take the time of all: each has its
share of what a connection may take, and a client begins with any of them.
"""

from __future__ import annotations

import copy
import random
from typing import Any

from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

from client_sdk.redis_url import Group, Host

_PATIENCE = 5.0  # seconds, where no limit is given
_LEAST = 1.0  # seconds for one sentinel; a busy one must not be passed over
_OF_ONE_SERVER = ("host", "port", "connection_class")


class Sentinels(Sentinel):
    """Clients of all sentinels of a service, none lost however many ask."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Where the master listens. Raises redis's MasterNotFoundError."""
        mine = copy.copy(self)
        mine.sentinels = [*self.sentinels]
        found: tuple[str, int] = await super(Sentinels, mine).discover_master(service_name)
        self.sentinels = mine.sentinels
        return found


def sentinel_pool(
    group: Group, options: dict[str, Any], rng: random.Random | None = None
) -> SentinelConnectionPool:
    """
    Connections to the master of ``group``; ``options`` are those of one of them, of which
    ``socket_connect_timeout`` (seconds) is shared out among the sentinels that are asked.
    """
    given = parse_url(group.url_of(Host("service", 1)))
    access = {name: value for name, value in given.items() if name not in _OF_ONE_SERVER}
    tls = {name: value for name, value in access.items() if name.startswith("ssl")}
    listed = [(host.name, host.port) for host in group.hosts]
    (rng or random.Random()).shuffle(listed)
    share = max(_LEAST, options.get("socket_connect_timeout", _PATIENCE) / len(listed))
    asking: dict[str, Any] = {"socket_timeout": share, "socket_connect_timeout": share}
    if "retry" in options:
        asking["retry"] = options["retry"]
    secure = group.scheme == "rediss"
    if secure:
        asking.update(tls, ssl=True)
    sentinels = Sentinels(listed, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]  # redis-py
    every = {**options, **access, "ssl": secure}
    return SentinelConnectionPool(group.service, sentinels, **every)  # type: ignore[no-untyped-call]  # redis-py
