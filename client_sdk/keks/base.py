"""
Key-encryption keys (KEKs), several at once, and what a place is that they come from.

A KEK wraps data keys (client_sdk.sealing) and nothing else, so it can be exchanged without touching
a record. While it is, two are in use: whoever has both opens everything, before, during and after.
That is why a process never has *the* key but a set: the first of it seals, each of it opens what
names it. The id is derived from the key, so a line that was cut or mixed up is found when it is
read, and the id can be shown.
"""

from __future__ import annotations

import base64
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from client_sdk.errors import SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    Rng = Callable[[int], bytes]

SIZE = 32
MOST = 16  # keys of one set: an exchange needs two
LARGEST = 64 * 1024  # bytes of a text with keys


@dataclass(frozen=True, slots=True)
class Kek:
    """A key-encryption key: 32 secret bytes, and an id derived from them that may be shown."""

    id: str
    secret: bytes

    @classmethod
    def generate(cls, rng: Rng) -> Kek:
        """A new key from 32 bytes of ``rng``."""
        return cls.from_secret(rng(SIZE))

    @classmethod
    def from_secret(cls, secret: bytes) -> Kek:
        """The key of these 32 bytes."""
        return cls(hashlib.sha256(b"config-center/kek/1\n" + secret).hexdigest()[:16], secret)

    @property
    def line(self) -> str:
        """``ID BASE64``: the key itself, for the places that keep it."""
        return f"{self.id} {base64.b64encode(self.secret).decode('ascii')}"

    def __repr__(self) -> str:
        return f"Kek(id={self.id})"


@dataclass(frozen=True, slots=True)
class Keks:
    """
    The keys of one process: ``keys[0]`` seals, each opens what it wrapped. Empty: nothing opens.
    """

    keys: tuple[Kek, ...] = ()

    @classmethod
    def of(cls, given: Kek | Keks | None) -> Keks:
        """One key, several or none as a set."""
        if isinstance(given, Keks):
            return given
        return cls() if given is None else cls((given,))

    @classmethod
    def parse(cls, text: str) -> Keks:
        """
        The keys of a text: a line each, or separated by commas; ``#`` begins a remark. Raises
        ValueError for a line that is no key, for none and for too many.
        """
        lines = (line.strip() for line in text.replace(",", "\n").splitlines())
        keys = [_parse_line(line) for line in lines if line and not line.startswith("#")]
        if not 0 < len(keys) <= MOST or len({key.id for key in keys}) != len(keys):
            raise ValueError
        return cls(tuple(keys))

    @property
    def ids(self) -> tuple[str, ...]:
        """What may be shown of them, in their order."""
        return tuple(key.id for key in self.keys)

    def get(self, ident: str) -> Kek | None:
        """The key of this id."""
        return next((key for key in self.keys if key.id == ident), None)

    def led_by(self, ident: str) -> Keks:
        """The same keys with this one first; ``ident`` has to be one of them."""
        return Keks(tuple(sorted(self.keys, key=lambda key: key.id != ident)))

    def and_(self, key: Kek) -> Keks:
        """The same keys and this one behind them."""
        return Keks((*self.keys, key))

    def without(self, ident: str) -> Keks:
        """The same keys but this one."""
        return Keks(tuple(key for key in self.keys if key.id != ident))

    @property
    def text(self) -> str:
        """A line for each: what :meth:`parse` reads."""
        return "".join(f"{key.line}\n" for key in self.keys)

    def __repr__(self) -> str:
        return f"Keks({', '.join(self.ids)})"


@dataclass(frozen=True, repr=False)
class KekSource(ABC):
    """
    A place that keys come from: what was set, and the name of the setting. ``kind`` is its name in
    the table.
    """

    value: str
    name: str
    kind: ClassVar[str]

    @property
    @abstractmethod
    def where(self) -> str:
        """The place in a sentence, never with a key in it."""

    @abstractmethod
    def read(self) -> Keks:
        """The keys as they are there now. Blocks. Raises SettingInvalid."""

    def __repr__(self) -> str:
        return f"KekSource({self.where})"

    def hurried(self, seconds: float) -> KekSource:
        """The same for somebody who cannot wait longer than that."""
        return self

    def save(self, keks: Keks) -> None:
        """Put these in their place. Raises SettingInvalid where that is somebody else's to do."""
        raise SettingInvalid(
            f"the key-encryption keys come from {self.where}, which a center does not write: "
            "change them there, a line `ID BASE64` for each"
        )


def _parse_line(line: str) -> Kek:
    name, _, encoded = line.partition(" ")
    kek = Kek.from_secret(base64.b64decode(encoded.encode("ascii"), validate=True))
    if len(kek.secret) != SIZE or kek.id != name:
        raise ValueError
    return kek
