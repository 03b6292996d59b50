"""A store in this process, for tests and for trying things out. Nothing is kept when it ends."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from client_sdk.image import Image, decode_row, encode_row
from client_sdk.records import Position, Record
from client_sdk.steps import Mark
from config_center.checks.base import StoreFacts
from config_center.store.base import (
    Beaten,
    BeatOutcome,
    CommitOutcome,
    Committed,
    Conflict,
    Duplicate,
    Empty,
    NewHistory,
    Store,
    StoredHead,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from client_sdk.image import Ring
    from config_center.store.base import Pending, Restored


@dataclass(slots=True)
class _Namespace:
    head: bytes
    rid: str
    log: dict[Position, bytes] = field(default_factory=dict)
    rows: dict[str, bytes] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    ring: Ring = field(default_factory=dict)
    trust: bytes = b""
    lease: tuple[str, float] = ("", 0.0)


class MemoryStore(Store):
    """
    Namespaces in dictionaries. ``restart()`` gives it a new replication id, as a real one gets at
    every start; ``listeners`` are called with (namespace, frame) at every notice.
    """

    def __init__(self) -> None:
        self.spaces: dict[str, _Namespace] = {}
        self.rid = secrets.token_hex(20)
        self.listeners: list[Callable[[str, bytes], None]] = []

    def restart(self) -> None:
        """A new replication id: the history may have branched."""
        self.rid = secrets.token_hex(20)

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def facts(self) -> StoreFacts:
        return StoreFacts(kept=False)

    async def head(self, ns: str) -> StoredHead | None:
        space = self.spaces.get(ns)
        if space is None:
            return None
        return StoredHead(Record.decode(space.head), space.rid == self.rid)

    async def create(self, pending: Pending) -> CommitOutcome:
        record = pending.record
        if record.header.ns in self.spaces:
            return Conflict()
        space = _Namespace(record.encode(), self.rid, ids={record.header.id})
        space.log[record.position] = record.encode()
        self.spaces[record.header.ns] = space
        return Committed()

    async def restore(
        self, pending: Pending, ring: Ring, ids: Sequence[Restored], replaces: bytes | None = None
    ) -> CommitOutcome:
        record = pending.record
        there = self.spaces.get(record.header.ns)
        if there is not None and Record.decode(there.head).c != replaces:
            return Conflict()
        known = {each.id for each in ids} | {record.header.id}
        space = _Namespace(record.encode(bodies=False), self.rid, ids=known)
        space.rows = {entry.key: encode_row(entry) for entry in pending.entries}
        space.ring = dict(ring)
        space.log[record.position] = record.encode()
        self.spaces[record.header.ns] = space
        self._tell(record.header.ns, record.encode())
        return Committed()

    async def commit(
        self, ns: str, expected: Mark, pendings: Sequence[Pending], *, adopt: bool = False
    ) -> CommitOutcome:
        space = self.spaces.get(ns)
        if space is None:
            return Empty()
        refusal = self._refusal(space, expected, pendings, adopt)
        if refusal is not None:
            return refusal
        for pending in pendings:
            frame = pending.record.encode()
            space.log[pending.record.position] = frame
            space.rows.update({e.key: encode_row(e) for e in pending.entries})
            space.ids.add(pending.record.header.id)
            space.head = pending.record.encode(bodies=False)
            self._tell(ns, frame)
        space.rid = self.rid
        return Committed()

    def _refusal(
        self, space: _Namespace, expected: Mark, pendings: Sequence[Pending], adopt: bool
    ) -> CommitOutcome | None:
        head = Record.decode(space.head)
        if not adopt:
            if space.rid != self.rid:
                return NewHistory()
            for pending in pendings:
                if pending.record.header.id in space.ids:
                    return Duplicate(pending.record.header.id)
        if Mark(head.position, head.c) != expected:
            return Conflict()
        if adopt and pendings[0].record.header.e <= head.header.e:
            return Conflict()
        return None

    async def is_replicated(self, ns: str) -> bool:
        return True

    async def beat(self, ns: str, c: bytes, center: str, frame: bytes, every: float) -> BeatOutcome:
        space = self.spaces.get(ns)
        if space is None:
            return Empty()
        if space.rid != self.rid:
            return NewHistory()
        if Record.decode(space.head).c != c:
            return Conflict()
        holder, until = space.lease
        now = time.monotonic()
        if holder not in ("", center) and now < until:
            return Beaten(leader=False)
        space.lease = (center, now + 3 * every)
        self._tell(ns, frame)
        return Beaten(leader=True)

    async def known_ids(self, ns: str, ids: Sequence[str]) -> set[str]:
        return self.spaces[ns].ids & set(ids)

    async def read_log(self, ns: str, after: Position) -> list[Record] | None:
        log = self.spaces[ns].log if ns in self.spaces else {}
        return [Record.decode(log[position]) for position in sorted(log) if position > after]

    async def read_image(self, ns: str) -> Image | None:
        space = self.spaces.get(ns)
        if space is None:
            return None
        head = replace(Record.decode(space.head), bodies={})
        return Image(head, tuple(map(decode_row, space.rows.values())), dict(space.ring))

    async def read_ring(self, ns: str) -> Ring:
        return dict(self.spaces[ns].ring) if ns in self.spaces else {}

    async def write_ring(self, ns: str, entries: Ring) -> None:
        for dek, entry in entries.items():
            self.spaces[ns].ring.setdefault(dek, entry)

    async def rewrap_ring(self, ns: str, entries: Mapping[str, tuple[str, str]]) -> int:
        ring = self.spaces[ns].ring
        fresh = {dek: new for dek, (old, new) in entries.items() if ring.get(dek) == old}
        ring.update(fresh)
        return len(fresh)

    async def drop_ring(self, ns: str, deks: Sequence[str]) -> None:
        for dek in deks:
            self.spaces[ns].ring.pop(dek, None)

    async def read_trust(self, ns: str) -> bytes | None:
        space = self.spaces.get(ns)
        return None if space is None else space.trust or None

    async def write_trust(self, ns: str, document: bytes) -> None:
        self.spaces[ns].trust = document

    async def read_reports(
        self, ns: str, cursors: Mapping[str, str]
    ) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        return [], dict(cursors)

    async def idle_bodies(self, ns: str) -> dict[str, float]:
        """Bodies lie in the rows here."""
        return {}

    async def remove_bodies(self, ns: str, hashes: Sequence[str], idle: float) -> int:
        return 0

    async def remove_unfinished(self, ns: str, idle: float) -> int:
        """Nothing is made ready here."""
        return 0

    def _tell(self, ns: str, frame: bytes) -> None:
        for listener in self.listeners:
            listener(ns, frame)
