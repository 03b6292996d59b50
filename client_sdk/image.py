"""
A whole namespace at one position, as bytes: what a snapshot read, a snapshot file and one HTTP
answer carry.

An image is trusted by its head alone: the head record is signed, the rows must hash to the digest
in it. So it does not matter who stored the rows or which path they took; old per-key signatures are
not needed, and a row that somebody edited makes the whole image unusable, never a part of it.

The **ring** (wrapped data keys of sealed fields) rides along unsigned: a wrong entry cannot open
anything, it only makes a secret unreadable, and AES-GCM says so.

Bytes::

    row    "CC1E" | u32 n | entry JSON n bytes | u8 k | k x (u32 m | body m bytes)
    image  "CC1I" | u32 n | JSON {"ring": {..}, "rows": count} | blob head | blob beat | rows x blob
    row blob   u32 n | n bytes
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.contents import Content, Rollout
from client_sdk.errors import MissingBodies, NotVerified, UnknownSigner
from client_sdk.records import Beat, Position, Record, sha256_hex
from client_sdk.state import Entry, NamespaceState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from client_sdk.signing import Verifier

_ROW_MAGIC = b"CC1E"
_IMAGE_MAGIC = b"CC1I"
_U32 = struct.Struct(">I")

Ring = dict[str, str]  # data-key id -> sealing.RingEntry.encode()


def encode_row(entry: Entry, inline_limit: int | None = None) -> bytes:
    """One entry; bodies larger than ``inline_limit`` bytes are left to be fetched by hash."""
    plain = {
        "key": entry.key,
        "e": entry.position.e,
        "v": entry.position.v,
        "latest": entry.latest,
        "content": None if entry.content is None else entry.content.to_json(),
        "rollout": None if entry.rollout is None else entry.rollout.to_json(),
    }
    raw = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    bodies = [
        content.body
        for content in entry.contents
        if content.body is not None and (inline_limit is None or content.size <= inline_limit)
    ]
    parts = [_ROW_MAGIC, _U32.pack(len(raw)), raw, bytes((len(bodies),))]
    for body in bodies:
        parts += (_U32.pack(len(body)), body)
    return b"".join(parts)


def decode_row(row: bytes) -> Entry:
    """The inverse of :func:`encode_row`; contents left out have no body. Raises NotVerified."""
    try:
        if row[:4] != _ROW_MAGIC:
            raise ValueError("it does not begin like a row")
        raw, at = _blob(row, 4)
        plain = orjson.loads(raw)
        bodies = _blobs(row, at + 1, row[at])
        return _entry(plain, {sha256_hex(body): body for body in bodies})
    except (KeyError, TypeError, ValueError, IndexError, struct.error) as error:
        raise NotVerified(f"a stored row cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Proven:
    """A state that its signed head vouches for, with the ring and the beat of its image."""

    state: NamespaceState
    head: Record
    ring: Ring = field(default_factory=dict)
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """Head record (without bodies), rows, ring and, where the path carries one, the newest beat."""

    head: Record
    entries: tuple[Entry, ...]
    ring: Ring = field(default_factory=dict)
    beat: Beat | None = None

    def missing(self) -> set[str]:
        """The hashes of bodies that are still to be fetched."""
        return {c.sha256 for e in self.entries for c in e.contents if c.body is None}

    def with_bodies(self, objects: Mapping[str, bytes]) -> Image:
        """The same image with these bodies (sha256 -> bytes) put in."""
        return replace(self, entries=tuple(_filled(entry, objects) for entry in self.entries))

    def prove(self, ns: str, verifier: Verifier, *, vouched: bool = False) -> NamespaceState:
        """
        The state of this image. ``vouched``: its head is known to lie in verified history, so it
        counts although its key may be refused by now. Raises NotVerified when head or rows are not
        what was signed, UnknownSigner where another list of keys may say more of the head.
        """
        head = self.head.header
        reason = f"the head of {ns} is not signed by a trusted key"
        if head.ns != ns:
            raise NotVerified(reason)
        if not self.head.verify(verifier.past if vouched else verifier):
            known = verifier.trust.knows(head.kid)
            raise NotVerified(reason) if known else UnknownSigner(head.kid, reason)
        state = NamespaceState.from_entries(self.entries, self.head.position, self.head.c)
        if state.digest != head.state:
            raise NotVerified(
                f"the rows of {ns} do not hash to what its head {head.position} was signed for"
            )
        return state

    def proven(self, ns: str, verifier: Verifier) -> Proven:
        """What a client may take in. Raises NotVerified, MissingBodies where bodies are absent."""
        missing = self.missing()
        if missing:
            raise MissingBodies(missing)
        return Proven(self.prove(ns, verifier), self.head, self.ring, self.beat)

    def encode(self) -> bytes:
        """The bytes of the whole image."""
        about = orjson.dumps({"ring": self.ring, "rows": len(self.entries)})
        beat = b"" if self.beat is None else self.beat.encode()
        blobs = [self.head.encode(bodies=False), beat, *map(encode_row, self.entries)]
        parts = [_IMAGE_MAGIC, _U32.pack(len(about)), about]
        for blob in blobs:
            parts += (_U32.pack(len(blob)), blob)
        return b"".join(parts)

    @classmethod
    def decode(cls, raw: bytes) -> Image:
        """Read the bytes of :meth:`encode`. Raises NotVerified."""
        try:
            if raw[:4] != _IMAGE_MAGIC:
                raise ValueError("it does not begin like an image")
            about_raw, at = _blob(raw, 4)
            about = orjson.loads(about_raw)
            head, beat, *rows = _blobs(raw, at, about["rows"] + 2)
            ring = {str(dek): str(entry) for dek, entry in about["ring"].items()}
            return cls(
                Record.decode(head),
                tuple(decode_row(row) for row in rows),
                ring,
                Beat.decode(beat) if beat else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise NotVerified(f"an image cannot be read: {error}") from error


def _entry(plain: Mapping[str, Any], bodies: Mapping[str, bytes]) -> Entry:
    content, rollout = plain["content"], plain["rollout"]
    entry = Entry(
        plain["key"],
        Position(plain["e"], plain["v"]),
        plain["latest"],
        None if content is None else Content.from_json(content),
        None if rollout is None else Rollout.from_json(rollout),
    )
    return _filled(entry, bodies)


def _filled(entry: Entry, objects: Mapping[str, bytes]) -> Entry:
    def fill(content: Content | None) -> Content | None:
        if content is None or content.body is not None or content.sha256 not in objects:
            return content
        return replace(content, body=objects[content.sha256])

    rollout = entry.rollout
    if rollout is not None:
        rollout = replace(rollout, content=fill(rollout.content))
    return replace(entry, content=fill(entry.content), rollout=rollout)


def _blob(raw: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _U32.unpack_from(raw, at)
    end = at + 4 + size
    if end > len(raw):
        raise ValueError("it ends too early")
    return raw[at + 4 : end], end


def _blobs(raw: bytes, at: int, count: int) -> Iterator[bytes]:
    for _ in range(count):
        blob, at = _blob(raw, at)
        yield blob
    if at != len(raw):
        raise ValueError("it goes on after its last row")
