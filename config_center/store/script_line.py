"""
The one connection to a server that scripts run on: one at a time, with the library's retries off.

A lost reply would otherwise run a write twice. Whatever ends before its reply came costs the
connection, because the reply would be taken for that of the next.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ConnectionError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeout

from client_sdk.transports.redis_client import close_client, redis_client, words_of
from config_center.store.base import OutcomeUnknown, StoreDown, StoreRefused
from config_center.store.scripts import Script

TIMEOUT = 5.0
_FRESH = 2.0
_ASKED = "is-replicated"  # a field of the hash of the beats, written only to be waited for


class ScriptLine:
    """Scripts by name, over a dedicated connection to ``url``."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        # One deadline over a whole script: redis-py's own makes a task for every command.
        patient = {**options, "socket_timeout": None}
        self._redis = redis_client(url, single=True, **patient)
        self._scripts = {name: Script(name) for name in ("commit", "create", "restore", "beat")}
        self._turn = asyncio.Lock()
        self._used_at = -_FRESH

    async def close(self) -> None:
        """Let go of the connection."""
        await close_client(self._redis)

    async def run(
        self, name: str, keys: list[str], args: list[Any], *, replicas: int = 0, wait: float = 0.0
    ) -> list[bytes]:
        """
        What the script answers, once ``replicas`` have what it wrote, ``wait`` seconds at most.

        Raises StoreDown (nothing was sent), ResponseError (nothing happened) or OutcomeUnknown, the
        last also when fewer replicas have it: a WAIT on another connection would count other
        writes than this one.
        """
        async with self._turn:
            await self._wake()
            try:
                async with asyncio.timeout(TIMEOUT + wait):
                    reply: list[bytes] = await self._scripts[name].run(self._redis, keys, args)
                    have = await self._replicated(reply, replicas, wait)
                self._used_at = time.monotonic()
            except (ConnectionError, RedisTimeout, TimeoutError) as error:
                await self._drop()
                raise OutcomeUnknown(f"the store did not answer: {words_of(error)}") from error
            except ResponseError:
                raise
            except BaseException:
                await self._drop()  # a cancelled read leaves a reply behind
                raise
        if have < replicas:
            raise OutcomeUnknown(f"{have} of {replicas} replicas have it")
        return reply

    async def is_replicated(self, key: str, *, replicas: int, wait: float) -> bool:
        """True when what was written until now is with enough replicas: a write, and a WAIT."""
        if not replicas:
            return True
        try:
            async with self._turn, asyncio.timeout(TIMEOUT + wait):
                await self._wake()
                await self._redis.hset(key, _ASKED, "1")
                return int(await self._redis.wait(replicas, int(wait * 1000))) >= replicas
        except (RedisError, TimeoutError):
            await self._drop()
            return False

    async def _replicated(self, reply: list[bytes], replicas: int, wait: float) -> int:
        if not replicas or reply[0] != b"OK":
            return replicas
        try:
            return int(await self._redis.wait(replicas, int(wait * 1000)))
        except ResponseError as error:  # a master that is demoted ends the wait; the change is in
            raise ConnectionError(words_of(error)) from error

    async def _wake(self) -> None:
        """
        Make sure of a live connection before anything is sent; a dead one is made anew once. One
        that answered a moment ago and was not closed since is taken as live.
        """
        if await self._is_live():
            return
        for tries_left in (1, 0):
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self._redis.ping()
                return
            except (RedisError, TimeoutError) as error:
                await self._drop()
                if not tries_left:
                    raise StoreDown(words_of(error)) from error

    async def _is_live(self) -> bool:
        line = self._redis.connection
        if line is None or time.monotonic() - self._used_at >= _FRESH:
            return False
        try:
            return not await line.can_read()  # an end, or a reply that nobody waits for
        except RedisError:
            return False

    async def _drop(self) -> None:
        self._used_at = -_FRESH
        line, self._redis.connection = self._redis.connection, None
        if line is not None:
            await line.disconnect(nowait=True)
            # Taken from the pool anew it asks the sentinels; kept, it would try the old master.
            await self._redis.connection_pool.release(line)


def refusal(error: ResponseError) -> StoreRefused | StoreDown:
    """What an error reply means."""
    text = words_of(error)
    if isinstance(error, AuthenticationError | AskError | TryAgainError | ClusterDownError):
        return StoreDown(text)
    return StoreRefused(f"the store refuses: {text}", full="OOM" in text or "maxmemory" in text)
