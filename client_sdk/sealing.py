"""
Secret fields: what is sealed, what is shown, how it is opened.

A secret field is stored, sent, exported and shown as ``{"$sealed": {"dek", "nonce", "ct", "fp"}}``:

* ``ct`` is AES-256-GCM of the field's JSON under a *data key* made for that value. The associated
  data names namespace, key, data key and field, so ciphertext moved to another field, key or
  namespace does not open. It does not name the revision: rollback, promotion within the namespace
  and replay carry the bytes along unopened. The JSON is filled up with blanks to a multiple of 32
  bytes, so its length tells little.
* ``dek`` names the data key. The keys themselves lie in the namespace's *ring*, each wrapped by a
  key-encryption key (KEK, client_sdk.keks) that only centers and trusted gateways have. Changing
  the KEK rewraps the ring and touches no record. A data key that is taken out of the ring
  everywhere is the end of what it sealed (*shredding*).
* ``fp`` is a keyed hash of the plaintext: what a difference and a content hash compare. Its key is
  one more entry of the ring (``FINGERPRINT``), so fingerprints outlive a change of the KEK and tell
  an outsider nothing, not even one who guesses the secret.

A secret that did not change keeps its sealed bytes: publishing a prompt beside an untouched API key
does not make every gateway believe that the key is new.

**Nobody may send ciphertext in.** Otherwise a publisher who may read sealed values could move
another's secret into a field that ends at a server of his. A sealed object in a request is accepted
only where the previous version holds that very object in that very field; then it means
"unchanged", and so does its shown form, which has the fingerprint alone, and ``***``, which is what
a settings page makes of it. Where there is nothing to keep, ``***`` is refused: nobody's key is
three asterisks.

Rejected: one data key for a namespace (destroying one secret would be impossible), sealing whole
values (no difference could be shown), deterministic encryption (equality visible without any key).
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import InvalidValue, SealedValue

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from client_sdk.keks import Kek, Keks

    Rng = Callable[[int], bytes]
    FieldPath = tuple[str, ...]

MARK = "$sealed"
FINGERPRINT = "fp"  # the ring entry of the fingerprint key; data keys have 32 hex digits
ANY = "*"  # in a secret path: every member or element at this level
MASK = "***"  # in place of a secret: as it was

_KEY = 32
_NONCE = 12
_PAD = 32
_AAD_VALUE = b"config-center/seal/1\n"
_AAD_KEY = b"config-center/data-key/1\n"

# What hostile or damaged sealed objects and ring entries make of decoding and decryption.
_UNOPENABLE = (ValueError, KeyError, TypeError, AttributeError)
_MOVED = "it was changed or moved, or is of another namespace"
_GONE = "its data key is gone, destroyed on purpose (`secrets shred`) or lost"


@dataclass(frozen=True, slots=True)
class RingEntry:
    """A data key as the ring holds it: which KEK wrapped it, and the wrapped bytes."""

    kek: str
    wrapped: bytes

    def encode(self) -> str:
        """``KEK:BASE64``, the value in the hash ``cc:{ns}:ring``."""
        return f"{self.kek}:{base64.b64encode(self.wrapped).decode('ascii')}"

    @classmethod
    def parse(cls, text: str) -> RingEntry:
        """Read :meth:`encode`. Raises SealedValue: nobody vouches for what the store holds."""
        kek, _, encoded = text.partition(":")
        try:
            return cls(kek, base64.b64decode(encoded, validate=True))
        except ValueError as error:
            raise SealedValue("an entry of the key ring is damaged; restore the ring") from error


@dataclass(frozen=True, slots=True)
class Sealer:
    """What sealing in one namespace needs: its ring, the KEKs, and a source of random bytes."""

    ns: str
    ring: Mapping[str, RingEntry]
    keks: Keks
    rng: Rng


def seal_value(
    value: Any, secret_paths: Iterable[FieldPath], previous: Any, key: str, sealer: Sealer
) -> tuple[Any, dict[str, RingEntry]]:
    """
    ``value`` with its secret fields sealed, and the ring entries that must be stored with it.

    ``secret_paths`` are member names from the root, ``*`` for any; ``previous`` is the sealed value
    of the version before (None: there is none). A field that is absent or null stays so. The
    entries must be in the ring before the record is published. Raises InvalidValue for a sealed
    object that is not the previous version's, SealedValue when the ring was wrapped by another KEK.
    """
    check_no_foreign_seals(value, previous)
    patterns = [tuple(path) for path in secret_paths]
    work = _Sealing(sealer, key, dict(_seals(previous)), patterns)
    return work.walk(value, ()), work.added


def open_value(value: Any, ns: str, key: str, ring: Mapping[str, RingEntry], keks: Keks) -> Any:
    """
    ``value`` with every sealed field opened; the same object when nothing in it is sealed.

    Raises SealedValue, naming the field, without the right KEK or for anything that was moved,
    cut or exchanged.
    """
    sealed = dict(_seals(value))
    if not sealed:
        return value
    if not keks.keys:
        fields = ", ".join(pointer(path) for path in sealed)
        raise SealedValue(
            f"{key} has sealed fields ({fields}) and no key to open them was given; "
            "set CONFIG_CENTER_SECRET_KEY_FILE"
        )
    keys: dict[str, bytes] = {}
    opened = {}
    for path, seal in sealed.items():
        try:
            dek = seal["dek"]
            if dek not in keys:
                keys[dek] = unwrap(ns, dek, ring[dek], keks)
            opened[path] = _open_field(seal, keys[dek], _aad(ns, key, dek, path))
        except _UNOPENABLE as error:
            why = _MOVED if _dek(seal) in ring else _GONE
            said = f"field {pointer(path)} of {key} is sealed and does not open: {why}"
            raise SealedValue(f"{said}; publish it again") from error
    return _replace(value, (), opened)


def masked(value: Any, secret: Iterable[FieldPath] = (), gone: Container[str] = ()) -> Any:
    """
    ``value`` as people and differences see it: of a sealed field the fingerprint alone, and
    nothing of what stands in clear where ``secret`` says that secrets are. ``gone`` are data keys
    that were shredded: of their fields only that is shown.
    """
    shown: dict[FieldPath, Any]
    shown = {path: {MARK: {"fp": ""}} for path in clear_secrets(value, secret)}
    for path, seal in _seals(value):
        shown[path] = {MARK: {"shredded": True} if _dek(seal) in gone else {"fp": _fp(seal)}}
    return _replace(value, (), shown) if shown else value


def data_keys(value: Any) -> frozenset[str]:
    """The ids of the data keys that the sealed fields of ``value`` were sealed with."""
    return frozenset(filter(None, (_dek(seal) for _, seal in _seals(value))))


def clear_secrets(value: Any, secret: Iterable[FieldPath]) -> list[FieldPath]:
    """Where ``value`` holds in clear what ``secret`` says is one: published before it was."""
    patterns = list(secret)
    places = _clear_paths(value, ()) if patterns else ()
    return [path for path in places if any(_matches(p, path) for p in patterns)]


def sealed_places(value: Any) -> list[FieldPath]:
    """Where something in ``value`` is sealed, or says so."""
    return [path for path, _ in _seals(value)]


def contains_seal(value: Any) -> bool:
    """True when there is such a place."""
    return any(True for _ in _seals(value))


def check_no_foreign_seals(value: Any, previous: Any) -> None:
    """
    Refuse sealed objects in a request unless they say "unchanged".

    That is: the same field of ``previous`` holds exactly this object, or one whose shown form it
    is. Raises InvalidValue.
    """
    known = dict(_seals(previous))
    for path, seal in _seals(value):
        before = known.get(path)
        if before is None or (seal != before and seal != {"fp": _fp(before)}):
            raise InvalidValue(
                "this sealed object is not the one of the version before; send the secret itself",
                pointer(path),
            )


def pointer(path: FieldPath) -> str:
    """The field as a JSON pointer (RFC 6901); empty for the whole value."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


class _Sealing:
    """One walk over one value: it makes at most one data key, and only when a field needs it."""

    __slots__ = (
        *("_before", "_data_key", "_fingerprint_key", "_key", "_patterns", "_sealer"),
        "added",
    )

    def __init__(
        self,
        sealer: Sealer,
        key: str,
        before: Mapping[FieldPath, Any],
        patterns: list[FieldPath],
    ) -> None:
        self._sealer = sealer
        self._key = key
        self._before = before
        self._patterns = patterns
        self._data_key: tuple[str, bytes] | None = None
        self._fingerprint_key: bytes | None = None
        self.added: dict[str, RingEntry] = {}

    def walk(self, value: Any, path: FieldPath) -> Any:
        if isinstance(value, dict) and MARK in value:
            return {MARK: self._before[path]}
        if value is not None and any(_matches(pattern, path) for pattern in self._patterns):
            return {MARK: self._kept(path) if value == MASK else self._seal(value, path)}
        if isinstance(value, dict):
            return {name: self.walk(member, (*path, name)) for name, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.walk(member, (*path, str(at))) for at, member in enumerate(value)]
        return value

    def _kept(self, path: FieldPath) -> Any:
        if path not in self._before:
            raise InvalidValue(
                f"{MASK} stands for a secret that stays as it is, and none is sealed here; send "
                "the secret itself",
                pointer(path),
            )
        return self._before[path]

    def _seal(self, plain: Any, path: FieldPath) -> Any:
        if contains_seal(plain):
            raise InvalidValue(
                "this field is secret as a whole; send all of it, not sealed parts", pointer(path)
            )
        text = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
        fp = hmac.digest(self._fingerprint(), text, "sha256").hex()[:32]
        before = self._before.get(path)
        if before is not None and before.get("fp") == fp and before.get("dek") in self._sealer.ring:
            return before
        name, secret = self._current_data_key()
        nonce = self._sealer.rng(_NONCE)
        text = text.ljust(-(-len(text) // _PAD) * _PAD)
        ct = _gcm(secret).encrypt(nonce, text, _aad(self._sealer.ns, self._key, name, path))
        return {"dek": name, "nonce": _encode(nonce), "ct": _encode(ct), "fp": fp}

    def _current_data_key(self) -> tuple[str, bytes]:
        if self._data_key is None:
            name = self._sealer.rng(16).hex()
            self._data_key = name, self._make_key(name)
        return self._data_key

    def _fingerprint(self) -> bytes:
        if self._fingerprint_key is None:
            self._fingerprint_key = (
                _unwrap_for_sealing(self._sealer)
                if FINGERPRINT in self._sealer.ring
                else self._make_key(FINGERPRINT)
            )
        return self._fingerprint_key

    def _make_key(self, name: str) -> bytes:
        sealer = self._sealer
        if not sealer.keks.keys:
            raise SealedValue("this center lacks the key-encryption key that seals; see its log")
        secret = sealer.rng(_KEY)
        self.added[name] = wrap(sealer.ns, name, secret, sealer.keks.keys[0], sealer.rng)
        return secret


def wrap(ns: str, name: str, secret: bytes, kek: Kek, rng: Rng) -> RingEntry:
    """The ring's entry of a data key."""
    nonce = rng(_NONCE)
    return RingEntry(kek.id, nonce + _gcm(kek.secret).encrypt(nonce, secret, _aad_key(ns, name)))


def unwrap(ns: str, name: str, entry: RingEntry, keks: Keks) -> bytes:
    """
    A data key. Raises SealedValue when its KEK is not among ``keks``, ValueError for an entry that
    was not wrapped for this name in this namespace.
    """
    kek = keks.get(entry.kek)
    if kek is None:
        raise SealedValue(
            f"the secrets of {ns} are sealed for key {entry.kek[:16]!r}, this process has "
            f"{', '.join(keks.ids)}; give it the center's secrets.key"
        )
    nonce, wrapped = entry.wrapped[:_NONCE], entry.wrapped[_NONCE:]
    return _decrypt(kek.secret, nonce, wrapped, _aad_key(ns, name))


def _unwrap_for_sealing(sealer: Sealer) -> bytes:
    try:
        return unwrap(sealer.ns, FINGERPRINT, sealer.ring[FINGERPRINT], sealer.keks)
    except _UNOPENABLE as error:
        said = f"the key ring of {sealer.ns} is damaged; restore it before publishing secrets"
        raise SealedValue(said) from error


def _open_field(seal: Any, data_key: bytes, aad: bytes) -> Any:
    nonce, ct = (base64.b64decode(seal[part], validate=True) for part in ("nonce", "ct"))
    return orjson.loads(_decrypt(data_key, nonce, ct, aad))


def _seals(value: Any, path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Every object that says it is sealed, well formed or not, with where it stands."""
    if isinstance(value, dict):
        if MARK in value:
            yield path, value[MARK] if len(value) == 1 else None
            return
        for name, member in value.items():
            yield from _seals(member, (*path, name))
    elif isinstance(value, (list, tuple)):
        for at, member in enumerate(value):
            yield from _seals(member, (*path, str(at)))


def _clear_paths(value: Any, path: FieldPath) -> Iterator[FieldPath]:
    """Every place of ``value`` that holds something unsealed."""
    if value is None or (isinstance(value, dict) and MARK in value):
        return
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _clear_paths(member, (*path, name))
    elif isinstance(value, (list, tuple)):
        for at, member in enumerate(value):
            yield from _clear_paths(member, (*path, str(at)))


def _replace(value: Any, path: FieldPath, instead: Mapping[FieldPath, Any]) -> Any:
    if path in instead:
        return instead[path]
    if isinstance(value, dict):
        return {name: _replace(part, (*path, name), instead) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace(part, (*path, str(at)), instead) for at, part in enumerate(value)]
    return value


def _matches(pattern: FieldPath, path: FieldPath) -> bool:
    return len(pattern) == len(path) and all(
        wanted in (ANY, part) for wanted, part in zip(pattern, path, strict=True)
    )


def _fp(seal: Any) -> str:
    return str(seal.get("fp", "")) if isinstance(seal, dict) else ""


def _dek(seal: Any) -> str:
    return str(seal.get("dek", "")) if isinstance(seal, dict) else ""


def _aad(ns: str, key: str, dek: str, path: FieldPath) -> bytes:
    """NUL cannot occur in ns, key and dek, so no two places share these bytes."""
    return _AAD_VALUE + "\0".join((ns, key, dek, pointer(path))).encode()


def _aad_key(ns: str, name: str) -> bytes:
    return _AAD_KEY + f"{ns}\0{name}".encode()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _gcm(secret: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(secret)


def _decrypt(secret: bytes, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    """Raises ValueError for whatever was not encrypted with exactly these."""
    from cryptography.exceptions import InvalidTag

    try:
        return _gcm(secret).decrypt(nonce, data, aad)
    except InvalidTag:
        raise ValueError("not encrypted with this key for this place") from None
