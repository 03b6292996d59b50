"""
A bad network that understands Redis: what it does, it does to whole messages.

Messages of a channel are dropped, doubled, overtaken and delayed by the :class:`Weather`; answers
to commands are left whole and in order, because TCP does not do otherwise. One trouble of answers
is real and worth a word of its own: the command was carried out and its answer never arrived
(:meth:`FaultyRedis.lose_replies`). A replication link goes through
:class:`~client_sdk.testing.proxy.FaultyTcp`: its stream is no RESP.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from typing import TYPE_CHECKING

from client_sdk.testing.proxy import TO_CLIENT, TO_SERVER, Cut, FaultyTcp, Passage
from client_sdk.testing.resp import SUBSCRIPTIONS, Splitter, is_confirmation, is_push, words
from client_sdk.testing.weather import Weather

if TYPE_CHECKING:
    from collections.abc import Iterable

_OVERTAKEN_AT_MOST = 0.1  # seconds; then it is passed on although nothing overtook it


class FaultyRedis(FaultyTcp):
    """
    As :class:`FaultyTcp`, with ``weather`` for the messages of channels. ``fates`` counts what
    became of them: ``passed``, ``dropped``, ``doubled``, ``overtaken``.
    """

    def __init__(
        self,
        backend: str,
        *,
        rng: random.Random | None = None,
        weather: Weather = Weather(),  # noqa: B008  # frozen
    ) -> None:
        super().__init__(backend, rng=rng)
        self.weather = weather
        self.fates: Counter[str] = Counter()
        self._to_lose: Counter[bytes] = Counter()

    @property
    def url(self) -> str:
        """What a client of Redis connects to."""
        return f"redis://127.0.0.1:{self.port}"

    def lose_replies(self, command: str, times: int = 1) -> None:
        """
        The next ``times`` of ``command`` are carried out, and their connections are cut instead of
        the reply.
        """
        self._to_lose[command.upper().encode()] += times

    @property
    def still_to_lose(self) -> int:
        """How many replies are still to be lost."""
        return sum(self._to_lose.values())

    def loses(self, command: bytes) -> bool:
        """Whether the reply to this command is to be lost; counts it."""
        if self._to_lose[command] <= 0:
            return False
        self._to_lose[command] -= 1
        return True

    def passage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Passage:
        return _RespPassage(self, reader, writer)

    async def __aenter__(self) -> FaultyRedis:
        await super().__aenter__()
        return self


class _RespPassage(Passage):
    """One connection to Redis."""

    proxy: FaultyRedis

    def __init__(
        self, proxy: FaultyRedis, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(proxy, reader, writer)
        self._splitters = {TO_SERVER: Splitter(), TO_CLIENT: Splitter()}
        self._doomed: deque[bool] = deque()  # of each command that has no reply yet
        self._overtaken: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        super().abort()
        if self._timer is not None:
            self._timer.cancel()

    def treat(self, direction: str, data: bytes) -> Iterable[bytes]:
        messages = self._splitters[direction].feed(data)
        if direction == TO_SERVER:
            for message in messages:
                self._note_command(message)
            return (data,)
        return self._replies(messages)

    def _note_command(self, message: bytes) -> None:
        name = b"".join(words(message)[:1])
        if name.lower() not in SUBSCRIPTIONS:
            self._doomed.append(self.proxy.loses(name.upper()))

    def _replies(self, messages: list[bytes]) -> Iterable[bytes]:
        for message in messages:
            if is_push(message):
                yield from self._push(message)
                continue
            if not is_confirmation(message) and self._doomed and self._doomed.popleft():
                raise Cut
            yield message

    def _push(self, message: bytes) -> Iterable[bytes]:
        fate = self.proxy.weather.fate(self.proxy.rng)
        self.proxy.fates[("dropped", "passed", "doubled")[fate.copies]] += 1
        if fate.overtaken:
            self.proxy.fates["overtaken"] += 1
            self._overtaken += [message] * fate.copies
            self._expect_to_be_overtaken()
            return
        yield from [message] * fate.copies
        if fate.copies:
            overtaken, self._overtaken = self._overtaken, []
            yield from overtaken

    async def send(self, direction: str, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if direction == TO_CLIENT and is_push(piece):
            await asyncio.sleep(self.proxy.weather.wait(self.proxy.rng))
        await super().send(direction, piece, writer)

    def _expect_to_be_overtaken(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_OVERTAKEN_AT_MOST, self._pass_overtaken)

    def _pass_overtaken(self) -> None:
        self._timer = None
        if not self.proxy.is_passable(TO_CLIENT):
            self._expect_to_be_overtaken()
            return
        late, self._overtaken = self._overtaken, []
        self.client.write(b"".join(late))
