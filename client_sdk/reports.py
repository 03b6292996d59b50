"""
What an instance says about itself, signed by the key that its token gives.

From a token both sides derive an Ed25519 key pair, ``seed = SHA256("config-center/report-key|" +
token)``. The center keeps the public half only, so whoever reads the store can speak for nobody.
The frame is the canonical JSON of the report followed by the 64-byte signature over it; ``seq``
grows within an incarnation (one start of the process), so an old report cannot be played again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk import fields
from client_sdk.errors import NotVerified
from client_sdk.signing import REPORT, SIGNATURE_SIZE, SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEED_PREFIX = "config-center/report-key|"


@dataclass(frozen=True, slots=True)
class Report:
    """
    One report. ``ts`` is in milliseconds since 1970 (UTC), ``body`` holds what is said; ``raw`` and
    ``sig`` are the exact signed bytes of a decoded one.
    """

    instance: str
    incarnation: str
    seq: int
    ts: int
    ns: str
    body: Mapping[str, Any]
    raw: bytes = b""
    sig: bytes = b""

    def encode(self, key: SigningKey) -> bytes:
        """The signed frame."""
        plain = {
            "instance": self.instance,
            "incarnation": self.incarnation,
            "seq": self.seq,
            "ts": self.ts,
            "ns": self.ns,
            "body": self.body,
        }
        raw = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
        return raw + key.sign(REPORT, raw)

    @classmethod
    def decode(cls, frame: bytes) -> Report:
        """Read a frame, without judging its signature. Raises NotVerified when it is none."""
        raw, sig = frame[:-SIGNATURE_SIZE], frame[-SIGNATURE_SIZE:]
        try:
            plain = orjson.loads(raw)
            body = plain["body"]
            if not isinstance(body, dict):
                raise ValueError("its body is not an object")
            return cls(
                fields.text(plain["instance"]),
                fields.text(plain["incarnation"]),
                fields.count(plain["seq"]),
                fields.count(plain["ts"]),
                fields.text(plain["ns"]),
                body,
                raw,
                sig,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise NotVerified(f"a report cannot be read: {error}") from error

    def verify(self, public: bytes) -> bool:
        """True when the owner of ``public`` signed exactly these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519

        try:
            key = ed25519.Ed25519PublicKey.from_public_bytes(public)
            key.verify(self.sig, REPORT + self.raw)
        except (InvalidSignature, ValueError):
            return False
        return True


def report_key(token: str) -> SigningKey:
    """The key that signs the reports of whoever holds this token."""
    return SigningKey(hashlib.sha256((_SEED_PREFIX + token).encode("utf-8")).digest())
