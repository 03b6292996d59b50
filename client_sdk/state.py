"""
The state of one namespace, and the proof that it is the one that was signed.

A state is a value: applying a record gives a new one and leaves the old one whole, so a reader
never sees half a change and a refused record leaves nothing behind. The signed header carries the
digest of the state *after* it. Whoever applies a change recomputes that digest and so notices a
lost change, a hand-edited row or a forgotten rule of this file at once, not when it hurts.

The digest is a Merkle root over 1,024 buckets by SHA-256 of the key. One change rehashes one bucket
a key and then the root over 32 KiB, so a namespace of 20,000 keys costs the same as one of 20;
anti-entropy compares roots, then buckets, and fetches only what differs. A bucket is the SHA-256 of
its lines, sorted by key; an empty bucket is 32 zero bytes. A line is::

    key \\0 e \\0 v \\0 latest \\0 version \\0 sha256 \\0 size \\0 format \\0 rollback-of \\0
    rollout \\n

``e`` and ``v`` are the key's last change. A removed key keeps its line, with the fields of its
content empty: its numbers must never be given out again. ``format`` is in the line because it
decides how the same bytes are read; ``rollout`` is the SHA-256 of the rollout's signed JSON, so
that percentage, lists and the canary's content are all proven.

Bodies are not in the digest (their hashes are). They hang on the contents and go with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import orjson

from client_sdk.contents import served_contents
from client_sdk.errors import MissingBodies, NotVerified
from client_sdk.records import GENESIS, START, Position, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client_sdk.contents import Content, Op, Rollout

BUCKETS = 1024
_EMPTY = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One key: what stable units get (``content``), what a canary gets (``rollout.content``), the
    highest version number ever given out, and the position of the last change.
    """

    key: str
    position: Position
    latest: int
    content: Content | None
    rollout: Rollout | None = None

    @property
    def version(self) -> int | None:
        """The version stable units get; ``None`` when they get nothing."""
        return None if self.content is None else self.content.version

    @property
    def contents(self) -> tuple[Content, ...]:
        """Every content this entry may serve."""
        return served_contents(self.content, self.rollout)

    @property
    def exists(self) -> bool:
        """False for the line that a removed key leaves."""
        return self.content is not None or self.rollout is not None

    def line(self) -> bytes:
        """What the digest says about this key."""
        parts = [self.key, str(self.position.e), str(self.position.v), str(self.latest)]
        if self.content is None:
            parts += [""] * 5
        else:
            content = self.content
            back = "" if content.rollback_of is None else str(content.rollback_of)
            parts += [str(content.version), content.sha256, str(content.size), content.format, back]
        parts.append("" if self.rollout is None else rollout_digest(self.rollout))
        return "\0".join(parts).encode("utf-8") + b"\n"


class Entries(Mapping[str, Entry]):
    """
    Key -> entry, removed ones too; read only.

    Kept in the buckets of the digest, so that a changed copy shares all buckets but the touched.
    """

    __slots__ = ("shards",)

    def __init__(self, shards: tuple[Mapping[str, Entry], ...]) -> None:
        self.shards = shards

    def __getitem__(self, key: str) -> Entry:
        return self.shards[bucket_of(key)][key]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.shards)

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def changed(self, entries: Mapping[str, Entry]) -> tuple[Entries, dict[int, bytes]]:
        """The entries with these put in, and the new hashes of the buckets that were touched."""
        touched: dict[int, dict[str, Entry]] = {}
        for key, entry in entries.items():
            index = bucket_of(key)
            touched.setdefault(index, dict(self.shards[index]))[key] = entry
        shards = list(self.shards)
        hashes = {}
        for index, shard in touched.items():
            shards[index] = shard
            lines = b"".join(shard[key].line() for key in sorted(shard))
            hashes[index] = hashlib.sha256(lines).digest()
        return Entries(tuple(shards)), hashes


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """
    Position, chain value, entries (removed ones too) and digest of a namespace.

    Build with :meth:`empty` or :meth:`from_entries`, go on with :meth:`apply`.
    """

    position: Position
    c: bytes
    entries: Entries = field(repr=False)
    digest: bytes
    buckets: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def empty(cls, position: Position = START, c: bytes = GENESIS) -> NamespaceState:
        """A namespace that holds nothing yet."""
        buckets = (_EMPTY,) * BUCKETS
        return cls(position, c, Entries(({},) * BUCKETS), _root(buckets), buckets)

    @classmethod
    def from_entries(cls, entries: Iterable[Entry], position: Position, c: bytes) -> NamespaceState:
        """The state made of these entries; compare ``digest`` with a signed head before use."""
        blank = cls.empty(position, c)
        return blank._with({entry.key: entry for entry in entries}, position, c)

    def keys(self) -> list[str]:
        """The keys that exist, sorted, without the reserved ones."""
        return sorted(k for k, e in self.entries.items() if e.exists and not k.startswith("_"))

    def after(self, ops: Iterable[Op], position: Position, c: bytes = GENESIS) -> NamespaceState:
        """
        The state after these operations at ``position``, bodies not looked at: what a center signs
        and a client compares with.
        """
        changed = {op.key: Entry(op.key, position, op.latest, op.content, op.rollout) for op in ops}
        return self._with(changed, position, c)

    def apply(self, record: Record, objects: Mapping[str, bytes] | None = None) -> NamespaceState:
        """
        The state after ``record``, proven by its digest.

        Bodies come from the record, from what this state already holds for the key, or from
        ``objects`` (sha256 -> bytes). Raises MissingBodies (naming what to fetch) or NotVerified
        (the digest differs: this state is not the one the record was built on).
        """
        header = record.header
        ops = self.embody(header.ops, record.bodies, objects or {})
        missing = {content.sha256 for op in ops for content in op.contents if content.body is None}
        if missing:
            raise MissingBodies(missing)
        new = self.after(ops, record.position, record.c)
        if new.digest != header.state:
            raise NotVerified(
                f"change {record.position} of {header.ns} does not lead to the state it was signed "
                "for; load the snapshot"
            )
        return new

    def embody(self, ops: Iterable[Op], *sources: Mapping[str, bytes]) -> tuple[Op, ...]:
        """
        The operations with bodies put in, from ``sources`` (sha256 -> bytes) or from what this
        state holds for the key; a content whose body is nowhere keeps none.
        """
        return tuple(self._embody(op, sources) for op in ops)

    def _embody(self, op: Op, sources: tuple[Mapping[str, bytes], ...]) -> Op:
        known = self.entries.get(op.key)
        own = {c.sha256: c.body for c in known.contents if c.body is not None} if known else {}
        sources = (*sources, own)
        rollout = op.rollout
        if rollout is not None:
            rollout = replace(rollout, content=_embodied(rollout.content, sources))
        return replace(op, content=_embodied(op.content, sources), rollout=rollout)

    def _with(self, changed: Mapping[str, Entry], position: Position, c: bytes) -> NamespaceState:
        if not changed:
            return replace(self, position=position, c=c)
        entries, hashes = self.entries.changed(changed)
        buckets = list(self.buckets)
        for index, digest in hashes.items():
            buckets[index] = digest
        return NamespaceState(position, c, entries, _root(buckets), tuple(buckets))


def bucket_of(key: str) -> int:
    """Which of the 1,024 buckets a key lies in: the first 10 bits of its SHA-256."""
    head = hashlib.sha256(key.encode("utf-8")).digest()
    return (head[0] << 2) | (head[1] >> 6)


def rollout_digest(rollout: Rollout) -> str:
    """SHA-256 (hex) of a rollout's signed JSON."""
    raw = orjson.dumps(rollout.to_json(), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(raw).hexdigest()


def _embodied(content: Content | None, sources: Iterable[Mapping[str, bytes]]) -> Content | None:
    if content is None or content.body is not None:
        return content
    for source in sources:
        body = source.get(content.sha256)
        if body is not None:
            return replace(content, body=body)
    return content


def _root(buckets: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(buckets)).digest()
