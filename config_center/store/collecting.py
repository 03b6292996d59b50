"""Large bodies in Redis: for how long nobody touched them, and how they go (retention.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_center.store.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio as redis

    from client_sdk.transports.keyspace import Keyspace

_AT_ONCE = 200


class Collector:
    """The bodies behind one client. Every method raises RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._script = Script("collect")

    async def idle(self, keys: Keyspace) -> dict[str, float]:
        """Every body, by hash, with the seconds since somebody wrote or read it."""
        prefix = keys.body("")
        found: dict[str, float] = {}
        names: list[bytes] = []
        async for name in self._redis.scan_iter(match=prefix + "*", count=_AT_ONCE):
            names.append(name)
            if len(names) == _AT_ONCE:
                found.update(await self._idle_of(names, len(prefix)))
                names.clear()
        found.update(await self._idle_of(names, len(prefix)))
        return found

    async def remove(self, keys: Keyspace, hashes: Sequence[str], idle: float) -> int:
        """Remove those that nobody touched for ``idle`` seconds, looked at anew; how many went."""
        names = [keys.body(sha) for sha in hashes]
        gone = 0
        for at in range(0, len(names), _AT_ONCE):
            gone += await self._script.run(self._redis, names[at : at + _AT_ONCE], [idle])
        return gone

    async def _idle_of(self, names: Sequence[bytes], prefix: int) -> dict[str, float]:
        if not names:
            return {}
        pipe: Any = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.object("IDLETIME", name)
        seconds = await pipe.execute()
        return {
            name.decode("ascii")[prefix:]: float(idle)
            for name, idle in zip(names, seconds, strict=True)
            if idle is not None  # it went meanwhile
        }
