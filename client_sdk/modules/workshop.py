"""
All live objects of a process: made once for each content, shared, and closed after their last use.

The workshop knows no positions and no views. It is asked for the instance of some settings and
gives the one that lives, or builds it; :meth:`Workshop.sweep` is told what is still in use and
closes the rest, each exactly once. What is being built for a step stays out of the sweep until the
step is over (:meth:`Workshop.release`), so a cancelled step closes exactly what it built.

A content that failed is remembered and not built again until it is published again (another version
number) or somebody asks; else every heartbeat of a config would pay for the same failing
constructor.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from client_sdk.modules.builder import StepFailed, build_proven, open_settings
from client_sdk.modules.doing import Steps
from client_sdk.modules.instance import Instance, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from client_sdk.modules.builder import Settings
    from client_sdk.modules.spec import ModuleSpec, Order

_REMEMBERED = 256  # failures; each is a few hundred bytes


class Workshop:
    """Makes, shares and lets go of instances. Lives on one loop."""

    def __init__(self, open_sealed: Callable[[str, Any], Any]) -> None:
        self._open_sealed = open_sealed
        self._steps = Steps()
        self._alive: dict[bytes, Instance] = {}
        self._by_source: dict[object, Instance] = {}
        self._making: dict[bytes, asyncio.Task[Instance]] = {}
        self._reserved: set[Instance] = set()
        self._failed: OrderedDict[tuple[bytes, int | None], StepFailed] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def get(self, order: Order, previous: Any) -> Instance:
        """The instance of ``order``, kept from the sweep until ``release``. Raises StepFailed."""
        instance = self._by_source.get(order.source)
        if instance is None:
            settings = open_settings(order.spec.key, order.stored, self._open_sealed)
            instance = self._alive.get(settings.identity)
            if instance is None:
                instance = await self._made(order, settings, previous)
            instance.made_of.add(order.source)
            self._by_source[order.source] = instance
        self._reserved.add(instance)
        return instance

    def release(self) -> None:
        """The step is over: what it asked for counts as used only where ``sweep`` is told so."""
        self._reserved.clear()

    def sweep(self, used: Iterable[Instance]) -> None:
        """Begin to close every instance that is neither in ``used`` nor kept for a step."""
        kept = {id(instance) for instance in used} | {id(one) for one in self._reserved}
        for identity, instance in list(self._alive.items()):
            if id(instance) not in kept:
                del self._alive[identity]
                for source in instance.made_of:
                    del self._by_source[source]
                self._let_go(instance.spec, instance.live, instance.secrets)

    def forget_failures(self) -> None:
        """Let contents that failed be tried again."""
        self._failed.clear()

    async def close(self, deadline: float) -> None:
        """Close everything; give up what has not ended after ``deadline`` seconds."""
        self._reserved.clear()
        self.sweep(())
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=deadline)
        await self._steps.close(max(0.0, end - loop.time()))
        await asyncio.gather(*self._closing)

    async def _made(self, order: Order, settings: Settings, previous: Any) -> Instance:
        """Build, once for all who ask for the same settings at the same time."""
        known = self._failed.get((settings.identity, order.version))
        if known is not None:
            raise StepFailed(known.step, known.reason)
        running = self._making.get(settings.identity)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._build(order, settings, previous))
            self._making[settings.identity] = running
            running.add_done_callback(lambda _: self._making.pop(settings.identity))
        try:
            return await running
        except StepFailed as failed:
            self._remember((settings.identity, order.version), failed)
            raise

    async def _build(self, order: Order, settings: Settings, previous: Any) -> Instance:
        spec = order.spec

        def dispose(live: Any) -> None:
            self._let_go(spec, live, settings.secrets)

        live = await build_proven(spec, settings, previous, self._steps, dispose)
        instance = Instance(spec, settings.identity, live, settings.secrets)
        self._alive[settings.identity] = instance
        self._reserved.add(instance)
        return instance

    def _remember(self, failed: tuple[bytes, int | None], why: StepFailed) -> None:
        self._failed[failed] = StepFailed(why.step, why.reason)  # without the traceback's frames
        self._failed.move_to_end(failed)
        while len(self._failed) > _REMEMBERED:
            self._failed.popitem(last=False)

    def _let_go(self, spec: ModuleSpec, live: Any, secrets: frozenset[str]) -> None:
        task = asyncio.get_running_loop().create_task(let_go(spec, live, secrets, self._steps))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
