"""
The data keys that one client has: which came, which went, and when to ask for them again. Pure.

The ring comes with every whole image, and changes on its own: an exchange of the key-encryption key
wraps its entries anew and touches no record, so no client is told. None has to be while it holds
both keys. Once it is given a set of keys that does not open what it has, it asks for the ring
again, once for that set.

**Shredding** is told: the data key ``D`` is gone when the namespace has the signed key
``_shredded.D``. Whoever sees it forgets ``D``, whatever the store, an old snapshot or an export
still says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from client_sdk.image import Ring

SHREDDED = "_shredded."
_DEK = re.compile(rb'"dek":"([^"]+)"')


def without_shredded(ring: Ring, keys: Collection[str]) -> Ring:
    """The ring without what ``keys``, the keys of the namespace, say is gone; the same if none."""
    gone = [name for name in ring if SHREDDED + name in keys]
    return {name: text for name, text in ring.items() if name not in gone} if gone else ring


def deks_in_bodies(bodies: Iterable[bytes]) -> frozenset[str]:
    """The data keys that these stored values name."""
    return frozenset(dek.decode() for body in bodies for dek in _DEK.findall(body))


class DataKeys:
    """``ring`` as it is known; ``lacking``: something that serves names a key that is not in it."""

    def __init__(self) -> None:
        self.ring: Ring = {}
        self.lacking = False
        self._asked_with: frozenset[str] = frozenset()

    def take(self, ring: Ring | None, bodies: Iterable[bytes], keys: Collection[str]) -> None:
        """
        A step: the ring that came with it (``None``: as before), the stored values that changed,
        and the keys of the state that it leads to.
        """
        known = self.ring if ring is None else ring
        self.ring = without_shredded(known, keys)
        wanted = {dek for dek in deks_in_bodies(bodies) if SHREDDED + dek not in keys}
        self.lacking = not wanted <= self.ring.keys()

    def read(self, ring: Ring, keys: Collection[str]) -> None:
        """The ring as it is there now."""
        self.ring = without_shredded(ring, keys)
        self.lacking = False

    @property
    def needed(self) -> bool:
        """False where nothing is sealed."""
        return self.lacking or bool(self.ring)

    def wants(self, ids: Collection[str]) -> bool:
        """
        True when it is time to ask for the ring, with the KEKs ``ids`` in hand: it lacks a key, or
        holds one that none of them opens, for the first time with these.
        """
        if self.lacking:
            return True
        now = frozenset(ids)
        if not now or now == self._asked_with:
            return False
        self._asked_with = now
        return any(text.partition(":")[0] not in now for text in self.ring.values())
