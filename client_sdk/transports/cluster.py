"""
Finding one's way in a Redis Cluster: the node that owns a namespace, by asking (see ``slots``).

redis-py's own cluster client is not used. It repeats what may have been carried out, its
transactions refuse INFO, and its subscriber ends with an error when a slot moves. Everything of a
namespace is in one slot, so all that is needed is that slot's owner: plain connections go there.

Four replies mean that *nothing was run*: MOVED (ask that node), and ASK, TRYAGAIN, CLUSTERDOWN
while a slot moves or a node is being replaced. Of ASK we make no use: the half of the keys that has
moved is of none without the other, so we wait until the move is over.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from client_sdk.redis_url import Group, Host
from client_sdk.transports.keyspace import Keyspace
from client_sdk.transports.redis_client import close_client, redis_client
from client_sdk.transports.slots import SlotMap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_HOPS = 5
_PAUSE = 0.05
_LEAST = 1.0  # seconds for one node; a busy one must not be passed over

T = TypeVar("T")


class Cluster:
    """
    The nodes behind ``group``; ``options`` are those of each connection, of which
    ``socket_timeout`` (seconds) is shared out among the nodes that are asked.
    """

    def __init__(
        self, group: Group, options: dict[str, Any], rng: random.Random | None = None
    ) -> None:
        listed = list(group.hosts)
        (rng or random.Random()).shuffle(listed)  # many clients do not all begin with the first
        share = max(_LEAST, options["socket_timeout"] / len(listed))
        self._group = group
        self._slots = SlotMap(listed)
        self._asking = {**options, "socket_timeout": share, "socket_connect_timeout": share}

    @property
    def listed(self) -> tuple[Host, ...]:
        """The nodes of the URL."""
        return self._group.hosts

    def url_of(self, host: Host) -> str:
        """The URL of one node."""
        return self._group.url_of(host)

    async def owner(self, ns: str) -> Host:
        """The node that owns ``ns``. Raises RedisError or OSError when nobody can tell."""
        slot = slot_of(ns)
        return self._slots.owner(slot) or await self._find(ns, slot)

    def moved(self, ns: str, asked: Host, error: Any) -> None:
        """``asked`` answered MOVED about ``ns``."""
        self._slots.found(slot_of(ns), _target(asked, error))

    def failed(self, host: Host) -> None:
        """``host`` did not answer; who owned what it had is asked anew."""
        self._slots.failed(host)

    async def _find(self, ns: str, slot: int) -> Host:
        from redis.exceptions import RedisError

        failed: dict[Host, Exception] = {}
        for host in self._slots.candidates():
            asked = host
            try:
                for _ in range(_HOPS):
                    if asked in failed:
                        break
                    target = await self._ask(asked, ns)
                    if target is None:
                        self._slots.found(slot, asked)
                        return asked
                    asked = target
            except (RedisError, OSError, asyncio.TimeoutError) as error:
                self._slots.failed(asked)
                failed[asked] = error
        raise next(iter(failed.values()), _circle())

    async def _ask(self, host: Host, ns: str) -> Host | None:
        """Whom ``host`` sends us to; ``None``: it is the owner."""
        from redis.exceptions import (
            AuthenticationError,
            ClusterDownError,
            MovedError,
            NoPermissionError,
            ResponseError,
        )

        client = redis_client(self.url_of(host), single=True, **self._asking)
        try:
            await client.hget(Keyspace(ns).head, "e")
        except MovedError as error:
            return _target(host, error)
        except (AuthenticationError, ClusterDownError, NoPermissionError):
            raise
        except ResponseError:  # ASK, or a key of another type: only the owner says so
            return None
        finally:
            await close_client(client)
        return None


async def settled(call: Callable[[], Awaitable[T]], until: float) -> T:
    """
    What ``call`` answers, asked again while a slot moves and nothing is run; the last error from
    ``until`` on (``time.monotonic``). MOVED is the caller's.
    """
    from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

    while True:
        try:
            return await call()
        except MovedError:
            raise
        except (AskError, ClusterDownError, TryAgainError):
            if time.monotonic() + _PAUSE > until:
                raise
        await asyncio.sleep(_PAUSE)


def slot_of(ns: str) -> int:
    """The slot of everything that belongs to a namespace."""
    from redis.crc import key_slot

    return key_slot(Keyspace(ns).head.encode())


def _target(asked: Host, error: Any) -> Host:
    """The node in a MOVED; no name, or ``?``, means the one that said so."""
    return Host(asked.name if error.host in ("", "?") else error.host.strip("[]"), error.port)


def _circle() -> Exception:
    from redis.exceptions import ConnectionError

    return ConnectionError("the nodes of the cluster send each other's clients in a circle")
