"""
Where the namespaces of a store are: all on one server, or each on a node of a cluster.

Everything that is asked of Redis is about one namespace, so it is asked of one server. Of a cluster
that is the node which owns the namespace's slot. MOVED and the replies of a moving slot mean that
nothing was run, so the same is asked again, for as long as any command may take; then it is
StoreDown and never an unknown outcome. Whatever else goes wrong goes wrong at once: a node that is
away is away for its namespaces, and is looked for anew with the next question.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ConnectionError, MovedError, RedisError, TimeoutError

from client_sdk.redis_url import group_of
from client_sdk.transports.cluster import Cluster, settled
from client_sdk.transports.redis_client import close_client, redis_client, words_of
from config_center.store.base import OutcomeUnknown, StoreDown
from config_center.store.fitness import look
from config_center.store.script_line import TIMEOUT, ScriptLine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import redis.asyncio as redis

    from client_sdk.redis_url import Group, Host
    from config_center.checks.base import StoreFacts

T = TypeVar("T")

_AGAIN = 0.05


class Server:
    """One Redis: a pool for reads, one line for scripts."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.reads: redis.Redis = redis_client(url, max_connections=16, **options)
        self.scripts = ScriptLine(url, options)

    async def close(self) -> None:
        """Let go of all connections."""
        try:
            await close_client(self.reads)
        finally:
            await self.scripts.close()


class Servers(ABC):
    """``publish`` is the command by which its subscribers are told."""

    publish: str

    @abstractmethod
    async def ask(self, ns: str, call: Callable[[Server], Awaitable[T]]) -> T:
        """
        What the server of ``ns`` answers. Raises what ``call`` raises, and RedisError or StoreDown
        where no server could be asked.
        """

    @abstractmethod
    async def open(self) -> None:
        """Reach it once, or raise RedisError."""

    @abstractmethod
    async def facts(self) -> StoreFacts | Mapping[str, StoreFacts | str]:
        """What it says of itself; of a cluster, node by node. Raises RedisError."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""


class Alone(Servers):
    """One server, or the master that sentinels name."""

    publish = "PUBLISH"

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url, self._options = url, options
        self._server = Server(url, options)

    async def ask(self, ns: str, call: Callable[[Server], Awaitable[T]]) -> T:
        return await call(self._server)

    async def open(self) -> None:
        await self._server.reads.ping()

    async def facts(self) -> StoreFacts:
        return await look(self._url, self._options, publish=self.publish)

    async def close(self) -> None:
        await self._server.close()


class Clustered(Servers):
    """The nodes of a cluster; a connection to each that was asked is kept."""

    publish = "SPUBLISH"

    def __init__(self, group: Group, options: dict[str, Any]) -> None:
        self._cluster = Cluster(group, options)
        self._options = options
        self._servers: dict[Host, Server] = {}

    async def ask(self, ns: str, call: Callable[[Server], Awaitable[T]]) -> T:
        until = time.monotonic() + TIMEOUT
        while True:
            try:
                return await self._ask_owner(ns, call, until)
            except MovedError:
                if time.monotonic() + _AGAIN > until:
                    raise
            await asyncio.sleep(_AGAIN)

    async def _ask_owner(self, ns: str, call: Callable[[Server], Awaitable[T]], until: float) -> T:
        try:
            owner = await self._cluster.owner(ns)
        except OSError as error:  # a TimeoutError is one
            raise StoreDown(words_of(error)) from error
        server = self._server(owner)
        try:
            return await settled(lambda: call(server), until)
        except MovedError as error:
            self._cluster.moved(ns, owner, error)
            raise
        except (ConnectionError, TimeoutError, StoreDown, OutcomeUnknown):
            self._cluster.failed(owner)
            raise

    async def open(self) -> None:
        await self.ask("default", lambda server: server.reads.ping())

    async def facts(self) -> dict[str, StoreFacts | str]:
        found: dict[str, StoreFacts | str] = {}
        for host in self._cluster.listed:
            url = self._cluster.url_of(host)
            try:
                found[str(host)] = await look(url, self._options, publish=self.publish)
            except (RedisError, OSError) as error:
                found[str(host)] = f"{words_of(error)}; what it keeps is not to be had"
        return found

    async def close(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    def _server(self, host: Host) -> Server:
        if host not in self._servers:
            self._servers[host] = Server(self._cluster.url_of(host), self._options)
        return self._servers[host]


def servers_of(url: str, options: dict[str, Any]) -> Servers:
    """The servers behind a URL, not connected yet. Raises SettingInvalid."""
    group = group_of(url)
    if group is not None and group.kind == "cluster":
        return Clustered(group, options)
    return Alone(url, options)
