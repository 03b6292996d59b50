"""Our own system: whole centers and clients, in this process, on the bad networks of a round."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client_sdk import Client
from client_sdk.bodies import decode_body
from client_sdk.listeners import Change as Told
from client_sdk.records import Record
from config_center.access import Actor
from config_center.center import Center
from config_center.journal_tables import with_bodies
from config_center.ledger.words import Mode
from config_center.problems import Problem
from config_center.publishing import Put
from tests.config_center.api.world import center
from tests.faults.checkers.watch import Bookmark, Change, History, Restart, Seen, Step
from tests.faults.scale import Scale
from tests.faults.systems.base import Evidence, System
from tests.until import until

ADMIN = Actor("chaos", "admin")
_KEYS = ("root.key", "signing.key", "trust.json", "secrets.key", "admin.token")


class Witness:
    """A client, and everything it ever served."""

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        self.name = name
        self.steps: list[Step | Restart] = []
        self.bookmarks: list[Bookmark] = []
        self._keys = keys
        self.client: Client | None = None

    def attach(self, client: Client) -> None:
        """Listen to every key from now on."""
        self.client = client
        for key in self._keys:
            client.on_change(key)(self._hear)

    def _hear(self, change: Told) -> None:
        client = self.client
        if client is None or change.reason == "start":
            return
        position = client.status().position
        last = self.steps[-1] if self.steps else None
        if isinstance(last, Step) and last.position == position:
            return  # another key of the same step
        values = {key: client.get(key, None) for key in self._keys}
        values = {key: value for key, value in values.items() if value is not None}
        self.steps.append(Step(time.monotonic(), tuple(position), values))

    def look(self) -> None:
        """Note what the client says is confirmed."""
        client = self.client
        if client is None:
            return
        driver = client._following.driver
        if driver is None or client.status().stale:
            return
        replica = driver.replica
        if replica.confirmed_at != replica._last_life:
            return  # the newest beat named what is still being read
        mark = Bookmark(replica.newest_beat / 1000, tuple(replica.position))
        if not self.bookmarks or self.bookmarks[-1] != mark:
            self.bookmarks.append(mark)


class Ours(System):
    """``centers`` and ``witnesses``; ``home`` is where their directories are."""

    def __init__(
        self, home: Path, centers: list[Center], witnesses: list[Witness], rng: random.Random
    ) -> None:
        self.home = home
        self.centers = centers
        self.witnesses = witnesses
        self.idempotent = True
        self.unknown = 0
        self._rng = rng

    async def put(self, key: str, number: int) -> bool:
        at = self._rng.choice(self.centers)  # the same change may be asked for anywhere
        ident = f"{key}-{number}" if self.idempotent else None
        try:
            await at.service.put("default", key, Put(value=number, idempotency_key=ident), ADMIN)
        except Problem as problem:
            if problem.status not in (503, 504, 507):  # only these say: ask again
                raise
            self.unknown += problem.name == "outcome-unknown"
            return False
        return True

    def served(self, key: str) -> Sequence[int]:
        return [w.client.get(key, 0) for w in self.witnesses if w.client is not None]

    def has_noticed(self) -> bool:
        return all(
            w.client is None or w.client.status().transport != "redis" for w in self.witnesses
        )

    def says_stale(self) -> bool:
        return all(w.client is None or w.client.status().stale for w in self.witnesses)

    async def restore(self) -> None:
        recovery = self.centers[0].service.recovery
        ledger = self.centers[0].registry.get("default")
        await until(lambda: ledger.mode is Mode.EMPTY, 30.0)
        await recovery.restore("default", None, ADMIN, "the round flushed it")

    async def settle(self) -> None:
        """Until all centers hold one head."""
        ledgers = [each.registry.get("default") for each in self.centers]
        await until(lambda: len({ledger.state.c for ledger in ledgers}) == 1, 30.0)

    async def evidence(self) -> Evidence:
        await self.settle()
        records: dict[bytes, Record] = {}
        for each in self.centers:
            journal = each.registry.get("default").journal
            records |= {record.c: record for record in await journal.transact(_rows)}
        changes = {c: _change(record) for c, record in records.items()}
        ledger = self.centers[0].registry.get("default")
        history = History.of(changes.values())
        history.newest = (ledger.state.position.e, ledger.state.position.v)
        present: dict[str, list[int]] = {}
        for change in _line(ledger.state.c, changes):
            for key, value in change.sets.items():
                present.setdefault(key, []).append(int(str(value)))
        orphans = await ledger.journal.orphans("default")
        untold = [f"orphan: {row.position} waits for a person" for row in orphans]
        seen = [Seen(w.name, w.steps, w.bookmarks) for w in self.witnesses]
        return Evidence(history, present, seen, untold)


def _line(head: bytes, changes: Mapping[bytes, Change]) -> list[Change]:
    """The one line that counts, oldest first: from its head by its links."""
    line = []
    while head in changes:
        line.append(changes[head])
        head = changes[head].p
    return line[::-1]


def _rows(db: sqlite3.Connection) -> list[Record]:
    """Every record that somebody may have seen, also of lines that were left."""
    query = "SELECT header, sig FROM rows WHERE ns = 'default' AND st != 'refused'"
    return [with_bodies(db, raw, sig) for raw, sig in db.execute(query).fetchall()]


def _change(record: Record) -> Change:
    sets = {}
    for op in record.header.ops:
        if op.content is not None:
            body = record.bodies[op.content.sha256]
            sets[op.key], _ = decode_body(replace(op.content, body=body))
    return Change(record.c, record.header.p, tuple(record.position), sets)


@contextlib.asynccontextmanager
async def ours(
    home: Path,
    store: str,
    reading: str,
    scale: Scale,
    rng: random.Random,
    *,
    centers: int = 1,
    ack_replicas: int = 0,
) -> AsyncIterator[Ours]:
    """``store``: the URL for centers; ``reading``: for clients, without the way over HTTP."""
    async with contextlib.AsyncExitStack() as stack:
        opened: list[Center] = []
        for number in range(centers):
            data = home / f"center-{number}"
            if opened:
                await asyncio.to_thread(_share_keys, home / "center-0", data)
            peers = [other.url for other in opened]
            made = center(data, scale.rhythm, redis=store, peers=peers, ack_replicas=ack_replicas)
            opened.append(await stack.enter_async_context(made))
        keys = scale.keys
        witnesses = [Witness(f"gw-{n}", keys) for n in range(scale.clients)]
        for number, witness in enumerate(witnesses):
            way = reading if number % 2 else f"{reading},{opened[number // 2 % centers].url}"
            client = await stack.enter_async_context(
                Client.connect(
                    way,
                    instance=witness.name,
                    state=home / witness.name,
                    trust=str(home / "center-0" / "trust.json"),
                    token=opened[0].admin_token,
                    timeout=30.0,
                    timing=scale.timing,
                    pace=scale.pace,
                    report_every=scale.timing.report,
                )
            )
            witness.attach(client)
        system = Ours(home, opened, witnesses, rng)
        looking = asyncio.create_task(_look(witnesses))
        try:
            yield system
        finally:
            looking.cancel()
            await asyncio.wait([looking])


async def _look(witnesses: Sequence[Witness]) -> None:
    while True:
        for witness in witnesses:
            witness.look()
        await asyncio.sleep(0.02)


def _share_keys(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for name in _KEYS:
        shutil.copy2(source / name, target / name)
