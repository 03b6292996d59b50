"""Publishers that never rest: each counts its own key up, every number until it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

from tests.faults.checkers.watch import Acknowledged
from tests.faults.systems.base import System
from tests.until import until


class Traffic:
    """
    Publishes while the block runs. ``impatience``: the share of attempts that are given up in the
    middle, as a caller does whose own deadline is over.
    """

    def __init__(self, system: System, keys: tuple[str, ...], pause: float, seed: int) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.attempts = 0
        self.impatience = 0.0
        self.begun = time.monotonic()
        self._system = system
        self._keys = keys
        self._pause = pause
        self._rng = random.Random(seed)
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def newest(self) -> dict[str, int]:
        """The highest acknowledged number of each key."""
        highest: dict[str, int] = {}
        for each in self.acknowledged:
            highest[each.key] = int(str(each.value))
        return highest

    def start(self) -> None:
        """Begin."""
        self.begun = time.monotonic()
        self._tasks = [asyncio.create_task(self._publish(key)) for key in self._keys]

    async def reach(self, more: int) -> None:
        """Wait until ``more`` were acknowledged from now on. Raises TimeoutError."""
        target, within = len(self.acknowledged) + more, 45.0 + more / 10
        await until(lambda: len(self.acknowledged) >= target or self._failed(), within)
        for task in self._tasks:
            if task.done():
                task.result()

    async def stop(self, within: float = 20.0) -> None:
        """No new numbers; those under way are finished if they can be."""
        self._over.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*self._tasks), within)

    def _failed(self) -> bool:
        return any(task.done() for task in self._tasks)

    async def _publish(self, key: str) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            while not await self._put(key, number):  # noqa: ASYNC110
                await asyncio.sleep(self._rng.uniform(0.0, 0.02))
            self.acknowledged.append(Acknowledged(key, number, time.time()))
            if self._pause:
                await asyncio.sleep(self._rng.uniform(0.0, 2 * self._pause))

    async def _put(self, key: str, number: int) -> bool:
        self.attempts += 1
        if self._rng.random() >= self.impatience:
            return await self._system.put(key, number)
        try:
            return await asyncio.wait_for(
                self._system.put(key, number), self._rng.uniform(0.0, 0.004)
            )
        except TimeoutError:
            return False
