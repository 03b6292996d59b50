"""
Which data keys a center believes in, and how it wraps them anew. Pure; ``rng`` comes in.

The ring lies in the store unsigned, because it changes without a record: an exchange of the
key-encryption key (KEK) wraps every entry anew, and another center may be the one that does it. So
a center judges what it finds by opening it. An entry in another wrapping counts when one of our
KEKs opens it for this very name and namespace (that is authenticated), and to the same data key as
ours, if ours opens: nobody without a KEK can make one. Everything else that differs is not taken:
ours stays, and the guard says that the store was edited.

An entry that the store lacks and we have was lost with a failover, unless a signed record says that
it was shredded. Then nothing brings it back: no store, journal, export or other center.

Rejected: signing the ring (a record for each exchange, which every client would have to follow
although nothing changed for it), and believing whatever the store holds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from client_sdk.data_keys import SHREDDED
from client_sdk.errors import SealedValue
from client_sdk.sealing import RingEntry, unwrap, wrap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from client_sdk.image import Ring
    from client_sdk.keks import Keks
    from client_sdk.sealing import Rng


def believed(ns: str, mine: Ring, found: Ring, keys: Collection[str], keks: Keks) -> Ring:
    """
    The ring to go on with: ``mine``, and of what was ``found`` what may stand beside or instead of
    it. ``keys`` are those of the namespace's state, which name what was shredded.
    """
    ring: dict[str, str] = {}
    for name in (*mine, *(name for name in found if name not in mine)):
        if SHREDDED + name in keys:
            continue
        ours, theirs = mine.get(name), found.get(name)
        if ours is None or theirs is None:
            ring[name] = str(theirs if ours is None else ours)
        else:
            same = ours == theirs or _may_replace(ns, name, ours, theirs, keks)
            ring[name] = theirs if same else ours
    return ring


def rewrapped(ns: str, ring: Ring, keks: Keks, rng: Rng, limit: int) -> dict[str, tuple[str, str]]:
    """
    The first ``limit`` entries that another KEK than ``keks.keys[0]`` wrapped: name -> (was,
    becomes). What does not open is left as it is.
    """
    kek = keks.keys[0]
    exchanged: dict[str, tuple[str, str]] = {}
    for name, text in ring.items():
        if len(exchanged) == limit:
            break
        if kek_of(text) == kek.id:
            continue
        secret = _opened(ns, name, text, keks)
        if secret is not None:
            exchanged[name] = text, wrap(ns, name, secret, kek, rng).encode()
    return exchanged


def count(rings: Iterable[Ring]) -> dict[str, int]:
    """
    How many data keys each KEK wraps in any of ``rings``, copies of one ring: a key that two of
    them hold in different wrappings counts for both KEKs.
    """
    held = {(name, kek_of(text)) for ring in rings for name, text in ring.items()}
    return dict(sorted(Counter(kek for _, kek in held).items()))


def lacking(ring: Ring, needed: Collection[str], keks: Keks) -> dict[str, int]:
    """The KEKs that are not at hand, and how many of the ``needed`` data keys each wraps."""
    wraps = Counter(kek_of(text) for name, text in ring.items() if name in needed)
    return {kek: number for kek, number in sorted(wraps.items()) if keks.get(kek) is None}


def kek_of(text: str) -> str:
    """The id of the KEK that wrapped an entry, as it says."""
    return text.partition(":")[0]


def _may_replace(ns: str, name: str, ours: str, theirs: str, keks: Keks) -> bool:
    new = _opened(ns, name, theirs, keks)
    return new is not None and _opened(ns, name, ours, keks) in (None, new)


def _opened(ns: str, name: str, text: str, keks: Keks) -> bytes | None:
    try:
        return unwrap(ns, name, RingEntry.parse(text), keks)
    except (SealedValue, ValueError):
        return None


def tombstones(keys: Mapping[str, object] | Collection[str]) -> list[str]:
    """The data keys that the keys of a namespace say are gone."""
    return [key.removeprefix(SHREDDED) for key in keys if key.startswith(SHREDDED)]
