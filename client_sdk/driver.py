"""
The driver of one replica: the only owner of a client's tasks.

Two tasks. The *follower* keeps one link at a time, chooses the path (route.py) and comes back to a
preferred one that proved itself (scout.py). The *worker* serves verified states in order, the
newest wins: what arrives while one is being served is merged into one more. So a slow build never
delays the link, and a broken link never delays a build.

``news`` is set when something is there to be served and the catch-up that follows a subscription is
over: what a client waits for before it says that it is connected. ``alone`` is set once every path
was tried and none worked.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError, TransportDown
from client_sdk.link import Link
from client_sdk.route import Pace, Route
from client_sdk.scout import scout
from client_sdk.waiting import cancelled, ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from client_sdk.image import Ring
    from client_sdk.records import Record
    from client_sdk.replica import Replica
    from client_sdk.state import NamespaceState
    from client_sdk.steps import Advance
    from client_sdk.transports.base import Transport

    Scouting = asyncio.Task[tuple[int, Transport]]

log = logging.getLogger(__name__)

_AGAIN = 1.0  # seconds until what could not be served is tried again


@dataclass(frozen=True, slots=True)
class Pending:
    """
    A verified state that is still to be served, and how it was reached: ``records`` in order, or
    none when it came as a whole (``changed`` is ``None`` then: find out). ``ring`` as it came with
    an image, ``None``: as before.
    """

    state: NamespaceState
    head: Record
    records: tuple[Record, ...]
    changed: frozenset[str] | None
    ring: Ring | None = None

    @classmethod
    def of(cls, step: Advance, ring: Ring | None) -> Pending:
        """One step alone."""
        keys = frozenset(op.key for record in step.records for op in record.header.ops)
        return cls(step.state, step.head, step.records, keys if step.records else None, ring)

    def then(self, later: Pending) -> Pending:
        """This one and a later one as one step."""
        ring = self.ring if later.ring is None else later.ring
        if self.changed is None or later.changed is None:
            return Pending(later.state, later.head, (), None, ring)
        records, changed = self.records + later.records, self.changed | later.changed
        return Pending(later.state, later.head, records, changed, ring)

    def changed_bodies(self) -> Iterator[bytes]:
        """Of the entries and not of the records: these name a large body by its hash."""
        entries = self.state.entries
        for key in entries if self.changed is None else self.changed:
            if key in entries:
                yield from (content.body or b"" for content in entries[key].contents)


class Driver:
    """
    Feeds ``replica`` from the transports that ``connect`` makes, in order of preference.

    ``serve`` is called with every new state, one at a time; ``complain`` with what the center
    should hear about the path itself; ``renew`` with a list of signing keys that a path has.
    ``head`` is the record behind the newest state, ``failure`` why there is no link, ``losses`` how
    often one ended or did not begin.
    """

    def __init__(
        self,
        replica: Replica,
        connect: Sequence[Callable[[], Transport]],
        serve: Callable[[Pending], Awaitable[None]],
        complain: Callable[[str], None],
        renew: Callable[[bytes], Awaitable[None]],
        *,
        head: Record | None = None,
        pace: Pace | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.replica = replica
        self.transport: Transport | None = None
        self.news = asyncio.Event()
        self.alone = asyncio.Event()
        self.head = head
        self.failure = "it was not tried yet"
        self.losses = 0
        self.route = Route(len(connect), pace or Pace())
        self._connect = connect
        self._serve = serve
        self._complain = complain
        self._renew = renew
        self._rng = rng or random.Random()
        self._pending: Pending | None = None
        self._busy = False
        self._found: Transport | None = None  # a better path, open, that is followed next
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(self._follow_for_ever(), name="config link"),
            asyncio.create_task(self._work_for_ever(), name="config worker"),
        ]

    async def close(self) -> None:
        """Stop both tasks and let go of the path."""
        try:
            await ended(*self._tasks)
        finally:
            if self._found is not None:
                await self._found.close()

    # -- the follower -------------------------------------------------------------------------

    async def _follow_for_ever(self) -> None:
        while not cancelled():  # a library may have taken that for an answer
            began = time.monotonic()
            try:
                await self._follow()
                continue
            except TransportDown as error:
                down = error
            except Exception as error:  # the client must outlive whatever one path met
                log.exception("the link failed")
                down = TransportDown(f"{type(error).__name__}: {error}")
            self.failure = str(down)
            self.losses += 1
            log.info("the link is down: %s", down)
            wait = self.route.lost(
                time.monotonic() - began,
                self._rng,
                hopeless=down.permanent,
                retry_after=down.retry_after,
            )
            if self.route.all_failed:
                self.alone.set()
            await asyncio.sleep(wait)

    async def _follow(self) -> None:
        """Follow one path until it ends (TransportDown), or until a better one is found."""
        found, self._found = self._found, None
        transport = found or self._connect[self.route.at]()
        scouting = self._scouting()
        only = self.route.paths == 1
        link = Link(
            transport,
            self.replica,
            self._take,
            self._complain,
            self._caught_up,
            self._renew,
            only=only,
        )
        try:
            if found is None:
                await transport.open()
            self.transport = transport
            await link.run(scouting, subscribed=found is not None)
        finally:
            self.transport = None
            try:
                await ended(scouting)
            finally:
                self._arrive(scouting)
                await transport.close()

    def _arrive(self, scouting: Scouting | None) -> None:
        """Take over what the scout found, also where the present path ended in the same moment."""
        if scouting is not None and not scouting.cancelled() and scouting.exception() is None:
            index, self._found = scouting.result()
            self.route.moved(index)
            log.info("back on path %d, which proved itself", index)

    def _scouting(self) -> Scouting | None:
        better, timing = self.route.better, self.replica.timing
        if not better:
            return None
        proof = self.route.pace.proof
        search = scout(better, self._connect, timing, proof, self._rng)
        return asyncio.create_task(search, name="config scout")

    # -- the worker ---------------------------------------------------------------------------

    def _take(self, step: Advance, ring: Ring | None) -> None:
        self.head = step.head
        pending = Pending.of(step, ring)
        self._pending = pending if self._pending is None else self._pending.then(pending)
        self._work.set()

    def _caught_up(self) -> None:
        """Nothing is awaited from the path: with nothing left to serve either, this is the news."""
        self.route.reached = True
        if self._pending is None and not self._busy and self.replica.state is not None:
            self.news.set()

    async def _work_for_ever(self) -> None:
        while not cancelled():
            await self._work.wait()
            self._work.clear()
            pending, self._pending = self._pending, None
            if pending is not None:
                self._busy = True
                served = await self._serve_one(pending)
                self._busy = False
                if not served:
                    self._give_back(pending)
                    await asyncio.sleep(_AGAIN)
            if not self.replica.catching_up:
                self._caught_up()

    def _give_back(self, pending: Pending) -> None:
        """What was given up half way is tried again as a whole: nobody knows what of it serves."""
        whole = replace(pending, records=(), changed=None)
        self._pending = whole if self._pending is None else whole.then(self._pending)
        self._work.set()

    async def _serve_one(self, pending: Pending) -> bool:
        try:
            await self._serve(pending)
            return True
        except ConfigError as error:
            log.error("a change could not be served: %s", error)
        except Exception:  # the worker must outlive whatever one change met
            log.exception("a change could not be served")
        return False
