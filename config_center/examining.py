"""
A center looks at itself once a minute, so that Prometheus can say what `doctor` would.

Only what is cheap: the machine, the store, the end of the audit, freezes, undecided orphans. The
journal is read through by `doctor` alone, because that takes seconds where it is large.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from client_sdk.waiting import ended, to_the_end
from config_center.checks import judge
from config_center.looking import (
    frozen_in,
    look_at_audit,
    look_at_machine,
    look_at_store,
    orphans_of,
)

if TYPE_CHECKING:
    from config_center.metrics import Metrics
    from config_center.service import Service
    from config_center.settings import Settings

log = logging.getLogger(__name__)

EVERY = 60.0  # seconds


class Examiner:
    """Owns the task that looks."""

    def __init__(
        self, settings: Settings, service: Service, metrics: Metrics, every: float = EVERY
    ) -> None:
        self._settings = settings
        self._service = service
        self._metrics = metrics
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a look at once."""
        self._task = asyncio.create_task(self._look_for_ever(), name="examiner")

    async def close(self) -> None:
        """Stop."""
        await ended(self._task)

    async def look(self) -> None:
        """One look; the metrics know what it found."""
        machine = await asyncio.to_thread(look_at_machine, self._settings)
        service = self._service
        data, verifier = self._settings.data, service.registry.verifier
        # To its end: whoever reads the audit last keeps SQLite from tidying up behind its writer.
        audit = await to_the_end(partial(look_at_audit, data, verifier, service.audit.down))
        store = await look_at_store(service.registry.store)
        facts = replace(machine, store=store, audit=audit, frozen=frozen_in(service))
        self._metrics.examined(judge(facts), facts.disk)
        self._metrics.undecided(await orphans_of(self._service))

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # it must outlive whatever one look met
                log.exception("the center could not look at itself")
            await asyncio.sleep(self._every)
