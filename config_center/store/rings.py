"""The ring in Redis: a hash of wrapped data keys, ``cc:{ns}:ring`` (client_sdk.sealing)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from client_sdk.transports.keyspace import Keyspace
from config_center.store.base import Store
from config_center.store.decoding import proof_of, text_of
from config_center.store.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import redis.asyncio as redis

    from client_sdk.image import Ring

_REWRAP = Script("rewrap")


class RingsOnRedis(Store):
    """The part of the store that is about rings; ``_read`` and ``_look`` are the rest's."""

    @abstractmethod
    async def _read(self, ns: str, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any: ...

    @abstractmethod
    async def _look(self, ns: str, ask: Callable[[redis.Redis], Awaitable[Any]]) -> Any: ...

    async def read_ring(self, ns: str) -> Ring:
        with proof_of(ns):
            ring = await self._look(ns, lambda redis: redis.hgetall(Keyspace(ns).ring))
            return {text_of(dek): text_of(entry) for dek, entry in ring.items()}

    async def write_ring(self, ns: str, entries: Ring) -> None:
        def ask(redis: redis.Redis) -> Awaitable[Any]:
            pipe = redis.pipeline(transaction=True)
            for dek, entry in entries.items():
                pipe.hsetnx(Keyspace(ns).ring, dek, entry)
            return pipe.execute()

        await self._read(ns, ask)

    async def rewrap_ring(self, ns: str, entries: Mapping[str, tuple[str, str]]) -> int:
        args = [text for dek, (old, new) in entries.items() for text in (dek, old, new)]
        ring = Keyspace(ns).ring
        return int(await self._read(ns, lambda redis: _REWRAP.run(redis, [ring], args)))

    async def drop_ring(self, ns: str, deks: Sequence[str]) -> None:
        await self._read(ns, lambda redis: redis.hdel(Keyspace(ns).ring, *deks))
