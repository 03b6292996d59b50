"""
Who may say what a fleet runs: Ed25519 over exact bytes, under one root.

A client pins one thing, the *root* public key (``ed25519:BASE64``). The root signs a short,
versioned list of signing keys; those sign records and beats. So a signing key can be replaced
without touching one client, and the root may lie in a drawer. A list is taken only when the root
signed it and its version is not lower than the one already held (else an attacker could bring back
a refused key).

Signatures are over ``prefix + exact bytes``, never over a re-serialised object: two JSON writers
that disagree on one escape would otherwise split a fleet. The prefix names the kind of message, so
a signed beat can never be passed off as a signed record. Rejected: JOSE (the envelope adds parsing
before verification), a full TUF client (it is file based and synchronous; its rules are kept:
roles, versions that only grow, nothing looked at before it is verified).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from client_sdk.errors import NotTrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

RECORD = b"config-center/record/1\n"
BEAT = b"config-center/beat/1\n"
TRUST = b"config-center/trust/1\n"
REPORT = b"config-center/report/1\n"
AUDIT = b"config-center/audit/1\n"

SIGNATURE_SIZE = 64
_PUBLIC_PREFIX = "ed25519:"


def kid_of(public: bytes) -> str:
    """The name of a key: 16 hex digits of the SHA-256 of its public half."""
    return hashlib.sha256(public).hexdigest()[:16]


def show_public(public: bytes) -> str:
    """``ed25519:BASE64``, the form people paste."""
    return _PUBLIC_PREFIX + base64.b64encode(public).decode("ascii")


def parse_public(text: str) -> bytes:
    """The 32 bytes behind ``ed25519:BASE64``. Raises NotTrusted."""
    try:
        raw = base64.b64decode(text.removeprefix(_PUBLIC_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(_PUBLIC_PREFIX) or len(raw) != 32:
        raise NotTrusted(
            "a trusted key reads ed25519:BASE64 with 32 bytes inside; "
            "copy the line that `config-center trust` prints"
        )
    return raw


class SigningKey:
    """An Ed25519 private key and its name."""

    __slots__ = ("_private", "kid", "public")

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self._private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._private.public_key().public_bytes_raw()
        self.kid: str = kid_of(self.public)

    @classmethod
    def generate(cls, rng: Callable[[int], bytes]) -> SigningKey:
        """A new key from 32 bytes of ``rng`` (``secrets.token_bytes`` in the programs)."""
        return cls(rng(32))

    @property
    def seed(self) -> bytes:
        """The 32 private bytes, for the key's own file and nothing else."""
        return self._private.private_bytes_raw()

    def sign(self, prefix: bytes, message: bytes) -> bytes:
        """The 64-byte signature over ``prefix + message``."""
        return self._private.sign(prefix + message)

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid})"


@dataclass(frozen=True, slots=True)
class TrustList:
    """
    The signing keys that the root vouches for.

    ``keys`` maps a kid to its 32 public bytes. ``raw`` and ``sig`` are the exact signed bytes, so
    that whoever holds a list can hand it on.
    """

    version: int
    root: bytes
    keys: Mapping[str, bytes]
    raw: bytes
    sig: bytes

    @classmethod
    def issue(cls, root: SigningKey, keys: Mapping[str, bytes], version: int) -> TrustList:
        """A new list, signed by the root."""
        raw = orjson.dumps(
            {"version": version, "keys": {kid: show_public(keys[kid]) for kid in keys}},
            option=orjson.OPT_SORT_KEYS,
        )
        return cls(version, root.public, dict(keys), raw, root.sign(TRUST, raw))

    def encode(self) -> bytes:
        """The document that ``trust.json`` holds and ``GET /v1/trust`` answers."""
        document = {
            "root": show_public(self.root),
            "list": self.raw.decode("utf-8"),
            "sig": base64.b64encode(self.sig).decode("ascii"),
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"

    @classmethod
    def parse(cls, document: bytes, pinned_root: bytes | None = None) -> TrustList:
        """
        Read and verify a document of :meth:`encode`.

        With ``pinned_root`` only that root counts; without it the document's own root does (first
        contact, or a file that the operator handed over). Raises NotTrusted.
        """
        try:
            outer = orjson.loads(document)
            root, raw = parse_public(outer["root"]), outer["list"].encode("utf-8")
            sig = base64.b64decode(outer["sig"], validate=True)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise NotTrusted(
                "this is not a trust document (root, list, sig); fetch it again from the center"
            ) from error
        if pinned_root is not None and root != pinned_root:
            raise NotTrusted(
                f"the center shows root {show_public(root)}, but {show_public(pinned_root)} is "
                "pinned; if the center was set up anew on purpose, give the new root as `trust`"
            )
        if not _verify(root, TRUST + raw, sig):
            raise NotTrusted("the list of signing keys is not signed by its root; refuse it")
        return cls._parse_list(root, raw, sig)

    @classmethod
    def _parse_list(cls, root: bytes, raw: bytes, sig: bytes) -> TrustList:
        inner = orjson.loads(raw)
        keys = {kid: parse_public(text) for kid, text in inner["keys"].items()}
        if any(kid != kid_of(public) for kid, public in keys.items()):
            raise NotTrusted("a signing key in the list does not carry its own name; refuse it")
        return cls(int(inner["version"]), root, keys, raw, sig)


class Verifier:
    """
    Checks signatures against one trust list; parsed keys are kept, a list can only be replaced by a
    newer one of the same root.
    """

    __slots__ = ("_parsed", "trust")

    def __init__(self, trust: TrustList) -> None:
        self.trust = trust
        self._parsed: dict[str, Ed25519PublicKey] = {}

    def renew(self, trust: TrustList) -> bool:
        """Take a newer list of the same root; an older or foreign one is left. True when taken."""
        if trust.root != self.trust.root or trust.version <= self.trust.version:
            return False
        self.trust = trust
        self._parsed = {}
        return True

    def verify(self, kid: str, prefix: bytes, message: bytes, sig: bytes) -> bool:
        """
        True when ``kid`` is trusted and signed exactly ``prefix + message``.

        What verified once is remembered by this process: every client of it gets the same beats and
        records, and a check costs as much as all the rest of a beat.
        """
        from cryptography.exceptions import InvalidSignature

        public = self.trust.keys.get(kid)
        if public is None:
            return False
        signed = prefix + message
        known = (public, sig, hashlib.sha256(signed).digest())
        if known in _verified:
            return True
        key = self._parsed.get(kid)
        if key is None:
            key = self._parsed[kid] = _load_public(public)
        try:
            key.verify(sig, signed)
        except InvalidSignature:
            return False
        if len(_verified) >= _REMEMBERED:
            _verified.clear()
        _verified.add(known)
        return True


_REMEMBERED = 1024
_verified: set[tuple[bytes, bytes, bytes]] = set()


def _load_public(public: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PublicKey.from_public_bytes(public)


def _verify(public: bytes, message: bytes, sig: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        _load_public(public).verify(sig, message)
    except (InvalidSignature, ValueError):
        return False
    return True
