"""
What nobody needs any more in Redis, and how it goes: large bodies (retention.py), and what a center
made ready for a restore and did not live to put in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_center.store.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis.asyncio as redis

    from client_sdk.transports.keyspace import Keyspace

_AT_ONCE = 200


class Collector:
    """What lies behind one client. Every method raises RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._script = Script("collect")

    async def idle(self, keys: Keyspace) -> dict[str, float]:
        """Every body, by hash, with the seconds since somebody wrote or read it."""
        prefix = keys.body("")
        found = await self._idle_below(prefix)
        return {name.removeprefix(prefix): seconds for name, seconds in found.items()}

    async def remove(self, keys: Keyspace, hashes: Sequence[str], idle: float) -> int:
        """Remove those that nobody touched for ``idle`` seconds, looked at anew; how many went."""
        return await self._remove([keys.body(sha) for sha in hashes], idle)

    async def remove_unfinished(self, keys: Keyspace, idle: float) -> int:
        """
        Remove what a restore made ready that nobody touched for so long; how many keys went. A
        restore that stood still for longer is refused by its script (restore.lua), and tried again.
        """
        found = await self._idle_below(keys.new)
        return await self._remove([name for name, age in found.items() if age >= idle], idle)

    async def _remove(self, names: list[str], idle: float) -> int:
        gone = 0
        for at in range(0, len(names), _AT_ONCE):
            gone += await self._script.run(self._redis, names[at : at + _AT_ONCE], [idle])
        return gone

    async def _idle_below(self, prefix: str) -> dict[str, float]:
        """Every key that begins so, with the seconds since somebody touched it."""
        found: dict[str, float] = {}
        names: list[bytes] = []
        async for name in self._redis.scan_iter(match=prefix + "*", count=_AT_ONCE):
            names.append(name)
            if len(names) == _AT_ONCE:
                found.update(await self._idle_of(names))
                names.clear()
        found.update(await self._idle_of(names))
        return found

    async def _idle_of(self, names: Sequence[bytes]) -> dict[str, float]:
        if not names:
            return {}
        pipe: Any = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.object("IDLETIME", name)
        seconds = await pipe.execute()
        return {
            name.decode("ascii"): float(idle)
            for name, idle in zip(names, seconds, strict=True)
            if idle is not None  # it went meanwhile
        }
