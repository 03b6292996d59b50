"""
What travels: changes and beats, as exact signed bytes.

A **record** is one change of one namespace: a header (JSON, the exact bytes are kept, chained and
signed) and the bodies it names by SHA-256. Nobody ever re-serialises a header: what was signed is
what is stored, sent, verified and replayed.

The chain value of a record is ``c = SHA256("cc1|" + ns + p + header)``; the header already excludes
``c`` and the signature. ``(e, v)`` orders records, ``c`` identifies a history: two records at one
position with different ``c`` are a fork. Source: docs/protocol.md, section "Records".

Frames (what a channel message, a log row, a journal row and an event stream carry)::

    record  "CC1R" | u32 n | header n bytes | signature 64 | u16 k | k x (u32 m | body m bytes)
    beat    "CC1B" | u32 n | header n bytes | signature 64

A body is named by what it hashes to, computed by the reader, so a swapped body is simply not the
one the header asks for.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from client_sdk import fields
from client_sdk.contents import Op
from client_sdk.errors import NotVerified
from client_sdk.signing import BEAT, RECORD, SIGNATURE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client_sdk.signing import SigningKey, Verifier

GENESIS = bytes(32)
INLINE_LIMIT = 8 * 1024  # bodies of a change up to this size travel inside its message
MAX_FRAME = 4 * 1024 * 1024  # of news; a change that is larger is found in the log
NAMESPACE = re.compile(r"[a-z0-9_][a-z0-9-]{0,62}\Z")

_RECORD_MAGIC = b"CC1R"
_BEAT_MAGIC = b"CC1B"
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
TYPES = frozenset({"create", "put", "adopt", "restore", "rekey", "cancel", "end"})


class Position(NamedTuple):
    """(epoch, revision): the total order of one namespace. ``str`` gives ``"2-17"``."""

    e: int
    v: int

    def __str__(self) -> str:
        return f"{self.e}-{self.v}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read ``"2-17"``. Raises ValueError with a sentence."""
        e, dash, v = text.partition("-")
        if not (dash and e.isascii() and e.isdigit() and v.isascii() and v.isdigit()):
            raise ValueError(f"a position reads EPOCH-REVISION, as 2-17, not {text!r}")
        position = cls(int(e), int(v))
        if max(position) > fields.MAX_COUNTER:
            raise ValueError(f"position {text} is larger than any real one")
        return position


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Header:
    """
    The signed part of a record.

    ``p`` and ``c`` are chain values (32 bytes), ``state`` is the digest of the whole namespace
    after this record, ``ts`` milliseconds since 1970 (UTC), ``req_hash`` the hash of what was asked
    (so that a retry can be told from another request under the same id), ``approved_by`` the second
    person where two had to agree, ``urgent`` that it was published in an emergency, ``origin`` the
    position and chain value of the record that this one replays.
    """

    ns: str
    e: int
    v: int
    p: bytes
    type: str
    id: str
    req_hash: str
    ops: tuple[Op, ...]
    state: bytes
    kid: str
    ts: int
    author: str
    comment: str = ""
    request: str = ""
    approved_by: str = ""
    urgent: bool = False
    origin: tuple[int, int, str] | None = None
    crit: tuple[str, ...] = ()

    @property
    def position(self) -> Position:
        """(epoch, revision)."""
        return Position(self.e, self.v)

    def encode(self) -> bytes:
        """The bytes that are chained and signed."""
        plain: dict[str, Any] = {
            "ns": self.ns,
            "e": self.e,
            "v": self.v,
            "p": self.p.hex(),
            "type": self.type,
            "id": self.id,
            "req_hash": self.req_hash,
            "ops": [op.to_json() for op in self.ops],
            "state": self.state.hex(),
            "kid": self.kid,
            "ts": self.ts,
            "author": self.author,
            "crit": list(self.crit),
        }
        optional = {
            "comment": self.comment,
            "request": self.request,
            "approved_by": self.approved_by,
            "urgent": self.urgent,
        }
        plain.update({name: value for name, value in optional.items() if value})
        if self.origin is not None:
            plain["origin"] = list(self.origin)
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """Read the bytes of :meth:`encode`. Raises NotVerified for anything else."""
        try:
            return cls._from_json(orjson.loads(raw))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise NotVerified(f"a record's header cannot be read: {error}") from error

    @classmethod
    def _from_json(cls, plain: Mapping[str, Any]) -> Header:
        origin = plain.get("origin")
        crit = tuple(fields.text(name) for name in plain["crit"])
        if crit:
            raise ValueError(f"it needs a newer library that understands {', '.join(crit)}")
        return cls(
            ns=fields.text(plain["ns"]),
            e=fields.count(plain["e"]),
            v=fields.count(plain["v"]),
            p=fields.hash32(plain["p"]),
            type=fields.one_of(plain["type"], TYPES),
            id=fields.text(plain["id"]),
            req_hash=fields.text(plain["req_hash"]),
            ops=tuple(Op.from_json(op) for op in plain["ops"]),
            state=fields.hash32(plain["state"]),
            kid=fields.text(plain["kid"]),
            ts=fields.count(plain["ts"]),
            author=fields.text(plain["author"]),
            comment=fields.text(plain.get("comment", "")),
            request=fields.text(plain.get("request", "")),
            approved_by=fields.text(plain.get("approved_by", "")),
            urgent=plain.get("urgent") is True,
            origin=None
            if origin is None
            else (fields.count(origin[0]), fields.count(origin[1]), origin[2]),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A header, the exact bytes it was read from, its signature, its chain value and its bodies."""

    header: Header
    raw: bytes
    sig: bytes
    c: bytes
    bodies: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def position(self) -> Position:
        """(epoch, revision)."""
        return Position(self.header.e, self.header.v)

    @classmethod
    def issue(cls, header: Header, key: SigningKey, bodies: Iterable[bytes] = ()) -> Record:
        """Encode and sign; ``header.kid`` must be the key's."""
        raw = header.encode()
        named = {sha256_hex(body): body for body in bodies}
        return cls(header, raw, key.sign(RECORD, raw), chain(header.ns, header.p, raw), named)

    def verify(self, verifier: Verifier) -> bool:
        """True when a trusted key signed exactly these bytes."""
        return verifier.verify(self.header.kid, RECORD, self.raw, self.sig)

    def encode(self, *, bodies: bool = True) -> bytes:
        """The frame; ``bodies=False`` leaves them out (announced, to be fetched by hash)."""
        inline = tuple(self.bodies.values()) if bodies else ()
        parts = [_RECORD_MAGIC, _U32.pack(len(self.raw)), self.raw, self.sig]
        parts.append(_U16.pack(len(inline)))
        for body in inline:
            parts += (_U32.pack(len(body)), body)
        return b"".join(parts)

    @classmethod
    def decode(cls, frame: bytes) -> Record:
        """Read a frame, without judging its signature. Raises NotVerified when it is none."""
        raw, sig, at = _signed_part(frame, _RECORD_MAGIC)
        bodies = dict(_bodies(frame, at))
        header = Header.decode(raw)
        return cls(header, raw, sig, chain(header.ns, header.p, raw), bodies)


@dataclass(frozen=True, slots=True)
class Beat:
    """
    A center's word that ``(e, v, c)`` is the head now.

    ``ts`` is in milliseconds since 1970 (UTC), ``ttl`` and ``every`` in seconds: how long the word
    counts, and when the next is due. ``trust`` is the version of the list of signing keys that the
    center holds (0: not said).
    """

    ns: str
    e: int
    v: int
    c: bytes
    ts: int
    ttl: float
    every: float
    center: str
    kid: str
    raw: bytes = b""
    sig: bytes = b""
    trust: int = 0

    @property
    def position(self) -> Position:
        """(epoch, revision)."""
        return Position(self.e, self.v)

    def signed(self, key: SigningKey) -> Beat:
        """The same beat with its bytes and signature."""
        plain = {name: getattr(self, name) for name in _BEAT_FIELDS}
        if self.trust:
            plain["trust"] = self.trust
        raw = orjson.dumps({**plain, "c": self.c.hex()}, option=orjson.OPT_SORT_KEYS)
        values = {**plain, "c": self.c, "raw": raw, "sig": key.sign(BEAT, raw)}
        return Beat(**values)

    def verify(self, verifier: Verifier) -> bool:
        """True when a trusted key signed exactly these bytes."""
        return verifier.verify(self.kid, BEAT, self.raw, self.sig)

    def encode(self) -> bytes:
        """The frame of a signed beat."""
        return b"".join((_BEAT_MAGIC, _U32.pack(len(self.raw)), self.raw, self.sig))

    @classmethod
    def decode(cls, frame: bytes) -> Beat:
        """Read a frame, without judging its signature. Raises NotVerified when it is none."""
        raw, sig, _ = _signed_part(frame, _BEAT_MAGIC)
        try:
            plain = orjson.loads(raw)
            return cls(
                ns=fields.text(plain["ns"]),
                e=fields.count(plain["e"]),
                v=fields.count(plain["v"]),
                c=fields.hash32(plain["c"]),
                ts=fields.count(plain["ts"]),
                ttl=fields.number(plain["ttl"]),
                every=fields.number(plain["every"]),
                center=fields.text(plain["center"]),
                kid=fields.text(plain["kid"]),
                raw=raw,
                sig=sig,
                trust=fields.count(plain.get("trust", 0)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotVerified(f"a beat cannot be read: {error}") from error


_BEAT_FIELDS = ("ns", "e", "v", "c", "ts", "ttl", "every", "center", "kid")


def decode(frame: bytes, most: int | None = None) -> Record | Beat:
    """
    Read whichever frame this is, of ``most`` bytes. Raises NotVerified when it is neither, or is
    larger: then it is not looked at.
    """
    if most is not None and len(frame) > most:
        raise NotVerified(f"a message of more than {most} bytes")
    return Beat.decode(frame) if frame[:4] == _BEAT_MAGIC else Record.decode(frame)


def sha256_hex(body: bytes) -> str:
    """The name of a body."""
    return hashlib.sha256(body).hexdigest()


def chain(ns: str, p: bytes, raw: bytes) -> bytes:
    """The chain value of a record with these header bytes after ``p``."""
    return hashlib.sha256(b"cc1|" + ns.encode("utf-8") + p + raw).digest()


def change_id(ns: str, token_name: str, idempotency_key: str) -> str:
    """
    The identity of a change, the same at every center and for every retry. A name may hold what
    parts it from the key (some providers of logins put a ``|`` in it): escaped, so that nobody's
    name and key read like another's.
    """
    name = token_name.replace("\\", "\\\\").replace("|", "\\|")
    text = f"cc-id|{ns}|{name}|{idempotency_key}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _signed_part(frame: bytes, magic: bytes) -> tuple[bytes, bytes, int]:
    if frame[:4] != magic or len(frame) < 8:
        raise NotVerified("a message is not a frame of this protocol")
    end = 8 + _U32.unpack_from(frame, 4)[0]
    if len(frame) < end + SIGNATURE_SIZE:
        raise NotVerified("a frame ends before its signature")
    return frame[8:end], frame[end : end + SIGNATURE_SIZE], end + SIGNATURE_SIZE


def _bodies(frame: bytes, at: int) -> Iterable[tuple[str, bytes]]:
    try:
        (count,) = _U16.unpack_from(frame, at)
        at += _U16.size
        for _ in range(count):
            (size,) = _U32.unpack_from(frame, at)
            at += _U32.size
            body = frame[at : at + size]
            if len(body) != size:
                raise NotVerified("a frame ends inside a body")
            yield sha256_hex(body), body
            at += size
    except struct.error as error:
        raise NotVerified("a frame ends inside its list of bodies") from error
    if at != len(frame):
        raise NotVerified("a frame goes on after its last body")


def pack(frames: Iterable[bytes]) -> bytes:
    """Frames one behind the other, each with its length (4 bytes) before it."""
    return b"".join(_U32.pack(len(frame)) + frame for frame in frames)


def unpack(raw: bytes) -> list[bytes]:
    """The frames of :func:`pack`. Raises NotVerified for bytes that end inside of one."""
    frames, at = [], 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        if end > len(raw):
            raise NotVerified("it ends inside a frame")
        frames.append(raw[at + 4 : end])
        at = end
    return frames
