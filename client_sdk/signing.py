"""
Who may say what a fleet runs: Ed25519 over exact bytes, under one root.

A client pins one thing, the *root* public key (``ed25519:BASE64``). The root signs a short,
versioned list of signing keys; those sign records and beats. So a signing key can be replaced
without touching one client, and the root may lie in a drawer. A list is taken only when the root
signed it and its version is not lower than the one already held (else an attacker could bring back
a refused key).

A key that left is *refused*, by name: retired where it was replaced in time, revoked where it was
stolen. It signs nothing new from then on; what it signed before is vouched for by what stands on it
(vouching.py), and what lies on one's own disk stays readable (:attr:`Verifier.past`). ``validity``
bounds a key by the clock of whoever verifies. A rotation does not need it, and a host without a
clock would lose its center by it, so a list has it only where the root's owner asked for it: it is
what ends a stolen key for a host that somebody keeps every newer list from.

The document grows without a new version of its form: members that are absent say nothing, unknown
ones are passed over unless ``crit`` names them, and a list that uses none of the newer members has
the bytes it always had.

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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk import fields
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
class Validity:
    """From when until when a key counts, in milliseconds since 1970; ``None``: no bound."""

    not_before: int | None = None
    not_after: int | None = None

    def holds(self, now: int) -> bool:
        """True at ``now``, both ends included."""
        begun = self.not_before is None or now >= self.not_before
        return begun and (self.not_after is None or now <= self.not_after)

    def to_json(self) -> dict[str, int]:
        """Without the bounds that are absent."""
        bounds = {"not_before": self.not_before, "not_after": self.not_after}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A key that signs nothing new since ``since`` (milliseconds), and why: one of WHY."""

    public: bytes
    since: int
    why: str


RETIRED, REVOKED = "retired", "revoked"
WHY = frozenset({RETIRED, REVOKED})


@dataclass(frozen=True, slots=True)
class TrustList:
    """
    The signing keys that the root vouches for.

    ``keys`` maps a kid to its 32 public bytes, ``validity`` a kid of them to its bounds,
    ``refused`` the kid of a key that left to what became of it. ``issued`` is in milliseconds (0:
    not said). ``raw`` and ``sig`` are the exact signed bytes, so that whoever holds a list can hand
    it on.
    """

    version: int
    root: bytes
    keys: Mapping[str, bytes]
    raw: bytes
    sig: bytes
    issued: int = 0
    validity: Mapping[str, Validity] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    @classmethod
    def issue(cls, root: SigningKey, keys: Mapping[str, bytes], version: int) -> TrustList:
        """A new list of keys without bounds, signed by the root."""
        return cls.sign(root, draft(keys, version))

    @classmethod
    def sign(cls, root: SigningKey, raw: bytes) -> TrustList:
        """The list of exactly these bytes (:func:`draft`). Raises NotTrusted for what is none."""
        return cls._parse_list(root.public, raw, root.sign(TRUST, raw))

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
        try:
            inner = orjson.loads(raw)
            unknown = [fields.text(name) for name in inner.get("crit", ())]
            listed = cls(
                version=fields.count(inner["version"]),
                root=root,
                keys={kid: parse_public(text) for kid, text in inner["keys"].items()},
                raw=raw,
                sig=sig,
                issued=fields.count(inner.get("issued", 0)),
                validity={k: _validity(v) for k, v in inner.get("validity", {}).items()},
                refused={k: _refusal(v) for k, v in inner.get("refused", {}).items()},
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise NotTrusted(f"the list of signing keys cannot be read: {error}") from error
        if unknown:
            raise NotTrusted(
                f"the list of signing keys needs a newer library, for {', '.join(unknown)}"
            )
        named = {**listed.keys, **{kid: gone.public for kid, gone in listed.refused.items()}}
        if any(kid != kid_of(public) for kid, public in named.items()):
            raise NotTrusted("a signing key in the list does not carry its own name; refuse it")
        if listed.keys.keys() & listed.refused.keys():
            raise NotTrusted("the list trusts and refuses one and the same key; refuse it")
        return listed

    def knows(self, kid: str) -> bool:
        """True for a key that is trusted or was: no newer list will say more of its name."""
        return kid in self.keys or kid in self.refused

    def counts(self, kid: str, now: int | None) -> bool:
        """True when ``kid`` may sign at ``now`` (milliseconds; ``None``: bounds are not judged)."""
        if kid not in self.keys:
            return False
        return now is None or self.validity.get(kid, _UNBOUNDED).holds(now)


_UNBOUNDED = Validity()


def draft(
    keys: Mapping[str, bytes],
    version: int,
    *,
    issued: int = 0,
    validity: Mapping[str, Validity] | None = None,
    refused: Mapping[str, Refusal] | None = None,
) -> bytes:
    """The bytes of a list, for the root to sign; members that say nothing are left out."""
    optional: dict[str, Any] = {
        "issued": issued,
        "validity": {kid: bounds.to_json() for kid, bounds in (validity or {}).items()},
        "refused": {
            kid: {"public": show_public(gone.public), "since": gone.since, "why": gone.why}
            for kid, gone in (refused or {}).items()
        },
    }
    plain = {"version": version, "keys": {kid: show_public(keys[kid]) for kid in keys}}
    plain.update({name: value for name, value in optional.items() if value})
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def _validity(plain: Mapping[str, Any]) -> Validity:
    bounds = (plain.get(name) for name in ("not_before", "not_after"))
    return Validity(*(None if bound is None else fields.count(bound) for bound in bounds))


def _refusal(plain: Mapping[str, Any]) -> Refusal:
    why = fields.one_of(plain["why"], WHY)
    return Refusal(parse_public(plain["public"]), fields.count(plain["since"]), why)


class Verifier:
    """
    Checks signatures against one trust list; parsed keys are kept, a list can only be replaced by a
    newer one of the same root.

    ``clock_ms`` gives milliseconds since 1970, for keys whose validity is bounded; without it the
    bounds are not judged.
    """

    __slots__ = ("_clock_ms", "_parsed", "_past", "trust")

    def __init__(
        self,
        trust: TrustList,
        clock_ms: Callable[[], int] | None = None,
        *,
        past: bool = False,
    ) -> None:
        self.trust = trust
        self._clock_ms = clock_ms
        self._past = past
        self._parsed: dict[str, Ed25519PublicKey] = {}

    @property
    def past(self) -> Verifier:
        """
        One that also believes keys which are refused by now: for what lies on one's own disk, where
        it was verified before it was written, and for links under a record that is trusted.
        """
        return Verifier(self.trust, past=True)

    def renew(self, trust: TrustList) -> bool:
        """Take a newer list of the same root; an older or foreign one is left. True when taken."""
        if trust.root != self.trust.root or trust.version <= self.trust.version:
            return False
        self.trust = trust
        self._parsed = {}
        return True

    def _public(self, kid: str) -> bytes | None:
        refused = self.trust.refused.get(kid) if self._past else None
        if refused is not None:
            return refused.public
        now = None if self._clock_ms is None else self._clock_ms()
        return self.trust.keys[kid] if self.trust.counts(kid, now) else None

    def verify(self, kid: str, prefix: bytes, message: bytes, sig: bytes) -> bool:
        """
        True when ``kid`` is trusted and signed exactly ``prefix + message``.

        What verified once is remembered by this process: every client of it gets the same beats and
        records, and a check costs as much as all the rest of a beat.
        """
        from cryptography.exceptions import InvalidSignature

        public = self._public(kid)
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
