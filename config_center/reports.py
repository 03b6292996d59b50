"""
Reports of instances: taken over HTTP from their own token, or read from the store's streams.

A report from the store proves itself: it must be signed with the report key of a token of the
instance it names. A report that came by HTTP must be the caller's own besides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.bodies import decode_body
from client_sdk.errors import ConfigError, NotVerified
from client_sdk.records import Record
from client_sdk.reports import Report
from config_center.access import TOKEN_PREFIX, expired
from config_center.problems import Problem, invalid
from config_center.scopes import Reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.fleet import Fleet
    from config_center.ledger.registry import Registry
    from config_center.space import Space

log = logging.getLogger(__name__)

_EVERY = 1.0
_BEGINNING = "0"


class Reports:
    """Feeds the fleets of the spaces."""

    def __init__(
        self,
        registry: Registry,
        spaces: Mapping[str, Space],
        clock_ms: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._spaces = spaces
        self._clock_ms = clock_ms
        self._task: asyncio.Task[None] | None = None
        self._known: dict[str, list[_Signer]] = {}
        self._known_by: NamespaceState | None = None
        self.taken = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to read the store's streams."""
        self._task = asyncio.create_task(self._read_for_ever(), name="reports")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def fleet(self, space: Space) -> Fleet:
        """The fleet as of now."""
        space.fleet.expire(self._clock_ms() / 1000)
        return space.fleet

    def take(self, space: Space, frame: bytes, actor: Actor) -> None:
        """A report by HTTP. Raises Problem 400 (unreadable), 403 (not the caller's)."""
        self.dropped += 1  # until it is taken
        try:
            report = Report.decode(frame)
        except NotVerified as error:
            raise invalid(str(error)) from None
        if report.instance != actor.instance or report.ns != space.ledger.ns:
            raise Problem("forbidden", "a token reports for its own instance, in this namespace")
        if not report.verify(actor.report_key):
            raise Problem("forbidden", "the report is not signed with this token's report key")
        self.dropped -= 1
        self._hear(space, report)

    async def read_once(self, space: Space) -> None:
        """Take what lies in the store's streams and is signed as it should be."""
        ns = space.ledger.ns
        keys = self._keys()
        cursors = {instance: space.cursors.get(instance, _BEGINNING) for instance in keys}
        found, space.cursors = await self._registry.store.read_reports(ns, cursors)
        now = self._clock_ms()
        for _, frame in found:
            try:
                report = Report.decode(frame)
            except NotVerified:
                self.dropped += 1
                continue
            signers = keys.get(report.instance, ())
            if report.ns == ns and any(signer.signed(report, now) for signer in signers):
                self._hear(space, report)
            else:
                self.dropped += 1

    def _hear(self, space: Space, report: Report) -> None:
        """Note it; a complaint that carries a record is evidence, which the ledger judges."""
        taken = space.fleet.hear(report, self._clock_ms() / 1000)
        self.taken += taken
        self.dropped += not taken
        complaint = report.body.get("complaint")
        if isinstance(complaint, dict) and isinstance(complaint.get("head"), str):
            with contextlib.suppress(NotVerified, ValueError):
                frame = base64.b64decode(complaint["head"], validate=True)
                space.ledger.hear_of(report.instance, Record.decode(frame))

    def _keys(self) -> dict[str, list[_Signer]]:
        """Who may sign, by instance, as long as the tokens are the very same state."""
        system = self._registry.system.state
        if system is not self._known_by:
            self._known_by, self._known = system, _keys_of(system)
        return self._known

    async def _read_for_ever(self) -> None:
        while True:
            for space in tuple(self._spaces.values()):
                try:
                    await self.read_once(space)
                except ConfigError as error:
                    log.debug("reports of %s cannot be read now: %s", space.ledger.ns, error)
                except Exception:  # reading reports must outlive whatever one round met
                    log.exception("reading reports of %s failed", space.ledger.ns)
            await asyncio.sleep(_EVERY)


@dataclass(frozen=True, slots=True)
class _Signer:
    """The token of an instance: its report key, what it reaches and when it ends."""

    public: bytes
    reach: Reach
    expires_at: int | None

    def signed(self, report: Report, now_ms: int) -> bool:
        """True for a report that this token may make, and made."""
        if expired(self.expires_at, now_ms) or not self.reach.whole(report.ns):
            return False
        return report.verify(self.public)


def _keys_of(system: NamespaceState) -> dict[str, list[_Signer]]:
    keys: dict[str, list[_Signer]] = {}
    for key, entry in system.entries.items():
        if key.startswith(TOKEN_PREFIX) and entry.content is not None:
            about = decode_body(entry.content)[0]
            if about.get("instance"):
                public = bytes.fromhex(about["report_key"])
                signer = _Signer(public, Reach.of(about), about.get("expires_at"))
                keys.setdefault(about["instance"], []).append(signer)
    return keys
