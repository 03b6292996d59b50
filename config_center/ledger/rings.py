"""
The ring of one ledger: wrapped data keys, which lie in the store beside the records and unsigned.

They are kept in three places (memory, journal, store), and a **rule** says what counts where these
differ; the one with the keys to judge by is config_center.secrets.rewrapping. Hold the ledger's
lock.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from client_sdk.data_keys import SHREDDED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from client_sdk.image import Ring
    from client_sdk.records import Record
    from client_sdk.state import NamespaceState
    from config_center.ledger.ledger import Ledger

    # Namespace, our ring, the ring that was found, the namespace's keys -> the ring to believe.
    RingRule = Callable[[str, Ring, Ring, Collection[str]], Ring]

_DEK = b'"dek"'  # in the body of whatever is sealed


def all_of_both(_: str, mine: Ring, found: Ring, __: Collection[str]) -> Ring:
    """The rule of a ledger that is given none: nothing is lost, the newer wrapping counts."""
    return {**mine, **found}


async def keep(ledger: Ledger, ring: Ring) -> None:
    """
    Hold new data keys before anything names them. Raises StoreDown, StoreRefused, JournalDown.
    """
    if ring:
        await ledger.store.write_ring(ledger.ns, ring)
        await ledger.journal.seen(ledger.ns, (), ring)
        ledger.ring = {**ledger.ring, **ring}


async def settle(ledger: Ledger, found: Ring, state: NamespaceState) -> Ring:
    """
    The ring to believe, of what the store was found to hold. What it lost is put back there, what
    was shredded goes from there and from the journal. Raises StoreDown, StoreRefused, JournalDown.
    """
    ns = ledger.ns
    known = ledger.ring or await ledger.journal.ring(ns)
    ring = await asyncio.to_thread(ledger.ring_rule, ns, known, found, state.entries)
    lost = {dek: wrapped for dek, wrapped in ring.items() if dek not in found}
    if lost:
        await ledger.store.write_ring(ns, lost)
    exchanged = {dek: text for dek, text in ring.items() if known.get(dek, text) != text}
    if exchanged:
        await ledger.journal.keep_ring(ns, exchanged)
    gone = sorted({*known, *found} - ring.keys())
    if gone:
        await ledger.store.drop_ring(ns, gone)
        await ledger.journal.drop_ring(ns, gone)
    return ring


async def settle_now(ledger: Ledger) -> None:
    """The same of what the store holds now. Raises StoreDown, StoreRefused, JournalDown."""
    found = await ledger.store.read_ring(ledger.ns)
    ledger.ring = await settle(ledger, found, ledger.state)


async def take_up(ledger: Ledger, found: Ring) -> None:
    """What another center wrapped anew, or left behind when it shredded."""
    if found != ledger.ring or concerns(ledger.state.entries, found):
        ledger.ring = await settle(ledger, found, ledger.state)


def concerns(keys: Collection[str], ring: Ring) -> bool:
    """True when the ring has what the keys of the namespace say was shredded."""
    return any(SHREDDED + name in keys for name in ring)


def is_about_ring(row: Record) -> bool:
    """True for a record that needs a data key, or ends one."""
    names_a_key = any(_DEK in body for body in row.bodies.values())
    return names_a_key or any(op.key.startswith(SHREDDED) for op in row.header.ops)
