"""
The keys of a center: made once, read at the start, and replaced one by one while it runs.

==================== =============================== =============================================
file                 what it does                    when it is lost
==================== =============================== =============================================
``root.key``         signs the list of signing keys  no signing key can be replaced: keep a copy
``signing.key``      signs records and beats         the root vouches for a new one
``trust.json``       the list; public (0644)         copied back from any client
``secrets.key``      opens sealed fields (the KEKs)  every secret must be published again
``signing.next.key`` will be the signing key         another one is requested
``trust.next.json``  the list that retires a key     ``trust retire`` asks for another one
==================== =============================== =============================================

``secrets.key`` is there only where no other source of key-encryption keys is set.

``trust.json`` is written last and says that the set is complete. Before that, a start that was cut
short is simply continued: keys that exist are kept, nothing has used them yet. After that nothing
is ever made again: a key that is missing then was lost or belongs to another center, and a new one
in its place would lock out every client, or every secret, without a word. The one exception is
``root.key``, which may be taken offline. The successor of the signing key becomes it by one rename,
which destroys the old one: what does not exist is not stolen.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from client_sdk.errors import NotTrusted, SettingInvalid
from client_sdk.keks import Kek, Keks, open_source
from client_sdk.private_files import read_private, rename_private, write_private
from client_sdk.signing import SigningKey, TrustList, show_public

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from client_sdk.keks import KekSource

    Rng = Callable[[int], bytes]

T = TypeVar("T")

ROOT = "root.key"
SIGNING = "signing.key"
SECRETS = "secrets.key"
TRUST = "trust.json"
NEXT_KEY = "signing.next.key"
NEXT_LIST = "trust.next.json"


@dataclass(frozen=True, slots=True)
class CenterKeys:
    """What a center signs and seals with. ``root`` is None where it is kept offline."""

    signing: SigningKey
    trust: TrustList
    keks: Keks
    root: SigningKey | None


def load_or_create(
    data: Path, rng: Callable[[int], bytes], source: KekSource | None = None
) -> CenterKeys:
    """
    The keys in ``data``, made there at the first start; ``source`` has the key-encryption keys
    (None: ``data`` has).

    The caller owns the directory (no two starts at once). Blocks on the disk. Raises SettingInvalid
    for a file that is missing, damaged, open to others or of another center; OSError when the
    directory cannot be written.
    """
    if not (data / TRUST).exists():
        _create(data, rng, source)
    return load(data, source)


def load(data: Path, source: KekSource | None = None) -> CenterKeys:
    """The complete set in ``data``. Raises SettingInvalid."""
    trust = _load_trust(data / TRUST)
    root = _load_key(data / ROOT) if (data / ROOT).exists() else None
    if root is not None and root.public != trust.root:
        raise SettingInvalid(
            f"{data / ROOT} is not the root {show_public(trust.root)} of {data / TRUST}; "
            "put the files of one center together, from one backup"
        )
    signing = _load_key(_present(data / SIGNING))
    if trust.keys.get(signing.kid) != signing.public and signing.kid not in trust.refused:
        raise SettingInvalid(
            f"{data / SIGNING} ({signing.kid}) is not in the list of {data / TRUST}, so no client "
            "would believe it; put the files of one center together, from one backup"
        )
    if source is None:
        source = open_source("file", str(_present(data / SECRETS)), SECRETS)
    return CenterKeys(signing, trust, source.read(), root)


class KeyFiles:
    """The key files of a center that runs. Every method blocks on the disk and raises OSError."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def root(self) -> SigningKey | None:
        """The root, where it is not kept offline. Raises SettingInvalid for a damaged one."""
        return _load_key(self._data / ROOT) if (self._data / ROOT).exists() else None

    def successor(self) -> SigningKey | None:
        """The key that will be the signing key. Raises SettingInvalid for a damaged one."""
        return _unless_gone(self._data / NEXT_KEY, _load_key)

    def make_successor(self, rng: Rng) -> SigningKey:
        """The same, made where there is none."""
        return _load_or_make_key(self._data / NEXT_KEY, rng)

    def promote(self) -> None:
        """The successor is the signing key from now on; the one before is gone."""
        rename_private(self._data / NEXT_KEY, self._data / SIGNING)

    def keep_list(self, trust: TrustList) -> None:
        """Write the list that counts."""
        write_private(self._data / TRUST, trust.encode().decode("utf-8"), mode=0o644)

    def pending(self) -> TrustList | None:
        """The list that waits for its moment. Raises SettingInvalid for a damaged one."""
        return _unless_gone(self._data / NEXT_LIST, _load_trust)

    def keep_pending(self, trust: TrustList | None) -> None:
        """Write it, or take it away."""
        path = self._data / NEXT_LIST
        if trust is None:
            path.unlink(missing_ok=True)
        else:
            write_private(path, trust.encode().decode("utf-8"), mode=0o644)


def prepare_newcomer(data: Path, rng: Rng) -> tuple[TrustList, SigningKey]:
    """
    A signing key for one more center of a fleet, in the data directory it will have, and the list
    that lies there already. Raises SettingInvalid, OSError.
    """
    if not (data / TRUST).exists():
        raise SettingInvalid(
            f"put the fleet's {TRUST} (GET /v1/trust of a center) and its {SECRETS} into {data} "
            "first"
        )
    return _load_trust(data / TRUST), _load_or_make_key(data / SIGNING, rng)


def load_root(path: Path) -> SigningKey:
    """A root key from the file that a center made. Raises SettingInvalid."""
    return _load_key(path)


def _create(data: Path, rng: Rng, source: KekSource | None) -> None:
    root = _load_or_make_key(data / ROOT, rng)
    signing = _load_or_make_key(data / SIGNING, rng)
    if source is None and not (data / SECRETS).exists():
        place = open_source("file", str(data / SECRETS), SECRETS)
        place.save(Keks((Kek.generate(rng),)))
    trust = TrustList.issue(root, {signing.kid: signing.public}, version=1)
    write_private(data / TRUST, trust.encode().decode("utf-8"), mode=0o644)


def _load_or_make_key(path: Path, rng: Rng) -> SigningKey:
    if path.exists():
        return _load_key(path)
    key = SigningKey.generate(rng)
    write_private(path, f"{key.kid} {base64.b64encode(key.seed).decode('ascii')}\n")
    return key


def _unless_gone(path: Path, load: Callable[[Path], T]) -> T | None:
    """What is in a file that a rotation may take away while somebody asks."""
    try:
        return load(path) if path.exists() else None
    except SettingInvalid:
        if path.exists():
            raise
        return None


def _load_key(path: Path) -> SigningKey:
    name, _, encoded = read_private(path, "the key").strip().partition(" ")
    damaged = SettingInvalid(f"the key {path} is damaged; restore it from a backup")
    try:
        key = SigningKey(base64.b64decode(encoded.encode(), validate=True))
    except ValueError:
        raise damaged from None
    if key.kid != name:
        raise damaged
    return key


def _load_trust(path: Path) -> TrustList:
    try:
        return TrustList.parse(path.read_bytes())
    except (NotTrusted, OSError) as error:
        raise SettingInvalid(
            f"{path} cannot be used ({error}); restore it from a backup, or copy it from a client "
            "or another center of this fleet"
        ) from error


def _present(path: Path) -> Path:
    if not path.exists():
        raise SettingInvalid(
            f"{path} is missing although this center has run before; restore it from a backup "
            "(a new one would not fit what is stored)"
        )
    return path
