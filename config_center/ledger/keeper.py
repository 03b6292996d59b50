"""
What keeps a ledger honest while nobody publishes: the heartbeat and the guard.

The heartbeat says every ``beat_every`` seconds, signed, which record is the head; its script checks
head and history on the way, so a failover, a flushed store and a center that is behind are noticed
within one beat. The guard reads the whole store now and then and compares it with the verified
state, because a row that somebody edited by hand moves neither head nor history.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError, NotVerified
from client_sdk.records import Beat
from client_sdk.waiting import ended
from config_center.ledger.inspection import inspect
from config_center.ledger.words import Mode
from config_center.store.base import Beaten, Empty, OutcomeUnknown, StoreDown, StoreRefused

if TYPE_CHECKING:
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.trust_lists import TrustLists

log = logging.getLogger(__name__)

_LOOK_AGAIN = (Mode.UNREACHABLE, Mode.EMPTY, Mode.STARTING, Mode.INCOMPLETE, Mode.REFUSED)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """
    Seconds: between beats, for how long a beat counts, between two looks of the guard, how long
    beats may fail before the namespace takes no more changes, between two rounds of pruning.
    """

    beat_every: float = 1.0
    ttl: float = 10.0
    guard_every: float = 20.0
    patience: float = 3.0
    prune_every: float = 60.0


class Keeper:
    """Owns the beat and guard tasks of one ledger."""

    def __init__(self, ledger: Ledger, center: str, rhythm: Rhythm, lists: TrustLists) -> None:
        self._ledger = ledger
        self._lists = lists
        self._center = center
        self._rhythm = rhythm
        self._tasks: list[asyncio.Task[None]] = []
        self._alive_at = time.monotonic()

    def start(self) -> None:
        """Begin to beat and to look."""
        ns = self._ledger.ns
        self._tasks = [
            asyncio.create_task(self._beat_for_ever(), name=f"beat of {ns}"),
            asyncio.create_task(self._guard_for_ever(), name=f"guard of {ns}"),
        ]

    async def close(self) -> None:
        """Stop both."""
        await ended(*self._tasks)

    async def _beat_for_ever(self) -> None:
        while True:
            try:
                async with self._ledger.lock:
                    await self.beat()
            except (StoreDown, StoreRefused, OutcomeUnknown) as error:
                self._on_failure(str(error))
            except Exception:  # the beat must outlive whatever one round met
                log.exception("the beat of %s failed", self._ledger.ns)
            await asyncio.sleep(self._rhythm.beat_every)

    async def beat(self) -> None:
        """One beat; brings the ledger up to date when the store moved. Hold the lock."""
        ledger = self._ledger
        if ledger.mode in _LOOK_AGAIN or ledger.heard:
            await ledger.refresh()
        if ledger.mode is not Mode.READY:
            return
        if ledger.key.kid not in ledger.verifier.trust.keys:
            await ledger.refresh()
            return
        beat = self._signed()
        outcome = await ledger.store.beat(
            ledger.ns, ledger.state.c, self._center, beat.encode(), self._rhythm.beat_every
        )
        self._alive_at = time.monotonic()
        if isinstance(outcome, Beaten):
            ledger.newest_beat = beat
            ledger.watchers.offer(beat)
        elif isinstance(outcome, Empty):
            ledger.set_mode(Mode.EMPTY)
        else:
            await ledger.refresh()

    def _signed(self) -> Beat:
        ledger, rhythm = self._ledger, self._rhythm
        beat = Beat(
            ns=ledger.ns,
            e=ledger.state.position.e,
            v=ledger.state.position.v,
            c=ledger.state.c,
            ts=time.time_ns() // 1_000_000,
            ttl=rhythm.ttl,
            every=rhythm.beat_every,
            center=self._center,
            kid=ledger.key.kid,
            trust=ledger.verifier.trust.version,
        )
        return beat.signed(ledger.key)

    def _on_failure(self, reason: str) -> None:
        silent = time.monotonic() - self._alive_at
        if silent > self._rhythm.patience and self._ledger.mode is Mode.READY:
            self._ledger.set_mode(Mode.UNREACHABLE, reason)

    async def _guard_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._rhythm.guard_every)
            if self._ledger.mode not in (Mode.READY, Mode.TAMPERED):
                continue
            try:
                await inspect(self._ledger)
                await self._lists.look(self._ledger.ns)
            except NotVerified as error:
                self._ledger.set_mode(Mode.TAMPERED, str(error))
            except ConfigError as error:
                log.warning("the guard of %s could not look: %s", self._ledger.ns, error)
            except Exception:  # the guard must outlive whatever one look met
                log.exception("the guard of %s failed", self._ledger.ns)
