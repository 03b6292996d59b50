"""
The length of the log: at least so many records and so much time, never more than so many bytes.

Called every hundred changes or so, and costs a bounded read: the oldest row decides whether there
is anything to do, and one call takes at most as many rows as the log keeps. A log that is far over
its bound shrinks to it in steps.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis.asyncio as redis

    from config_center.store.base import Retention


class Counts:
    """How many changes came to each namespace since its log was looked at."""

    def __init__(self, keep: Retention) -> None:
        self._bound = keep.records // 10
        self._changes: Counter[str] = Counter()

    def is_due(self, ns: str, added: int) -> bool:
        """Count changes of a namespace; true when its log should be looked at again, now."""
        self._changes[ns] += added
        due = self._changes[ns] >= self._bound
        if due:
            del self._changes[ns]
        return due


async def trim(client: redis.Redis, log: str, keep: Retention, now: int) -> None:
    """Trim the stream ``log``; ``now`` in milliseconds. Raises RedisError."""
    size = await client.xlen(log)
    used = await client.memory_usage(log) or 0
    if used > keep.max_bytes:
        await client.xtrim(log, maxlen=max(1, size // 2), approximate=False)
        return
    surplus = min(size - keep.records, keep.records)
    horizon = now - int(keep.seconds * 1000)
    if surplus <= 0 or not _is_older(await client.xrange(log, count=1), horizon):
        return
    rows: Any = await client.xrange(log, count=surplus)
    old = sum(1 for row in rows if _is_older([row], horizon))
    await client.xtrim(log, maxlen=size - old, approximate=False)


def _is_older(rows: Any, horizon: int) -> bool:
    return bool(rows) and int(rows[0][1][b"t"]) < horizon
