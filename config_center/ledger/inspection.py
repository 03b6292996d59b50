"""
One look of the guard: whether the store still holds what was verified.

It takes several reads, and between them the store goes on: somebody commits, a failover shows an
older copy, a flush takes all of it. So what does not fit is a finding only while the head is still
the one that was compared; if not, the next beat says what happened, in words that lead further than
"tampered". For the same reason a store that was put right, or emptied, leaves that mode by the next
look: nothing else asks for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from client_sdk.records import START, Position
from config_center.ledger.proof import compare
from config_center.ledger.rings import take_up
from config_center.ledger.words import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client_sdk.image import Image, Ring
    from client_sdk.records import Record
    from config_center.ledger.ledger import Ledger


async def inspect(ledger: Ledger) -> None:
    """Compare the store with the verified state. Raises ConfigError, NotVerified."""
    known = ledger.ring  # before the store is read: what is in it now is there already
    image = await ledger.store.read_image(ledger.ns)
    rows = () if image is None else await _read_recent_log(ledger)
    async with ledger.lock:
        if image is not None and image.head.position < ledger.state.position:
            return  # it was read before our newest change
        if image is None or image.head.position > ledger.state.position:
            await _look_anew(ledger, moved=image is not None)
        elif (difference := await _difference(ledger, image, rows, known)) is not None:
            if await _is_still_head(ledger, image.head):
                ledger.set_mode(Mode.TAMPERED, difference)
        elif ledger.mode is Mode.TAMPERED:
            await ledger.refresh()
        elif ledger.ring is known:
            await take_up(ledger, image.ring)


async def _look_anew(ledger: Ledger, *, moved: bool) -> None:
    if moved or ledger.mode is Mode.TAMPERED:  # that it is empty the next beat says, else
        await ledger.refresh()


async def _difference(
    ledger: Ledger, image: Image, rows: Sequence[Record], known: Ring
) -> str | None:
    recent, state = dict(ledger.recent), ledger.state
    ring = await asyncio.to_thread(ledger.ring_rule, ledger.ns, known, image.ring, state.entries)
    return await asyncio.to_thread(compare, state, image, rows, recent, ring)


async def _is_still_head(ledger: Ledger, head: Record) -> bool:
    stored = await ledger.store.head(ledger.ns)
    return stored is not None and stored.rid_matches and stored.record.c == head.c


async def _read_recent_log(ledger: Ledger) -> Sequence[Record]:
    """The rows that memory can be compared with; clients verify the rest by signature."""
    oldest = min(ledger.recent, default=START)
    before = Position(oldest.e, max(0, oldest.v - 1))
    rows = await ledger.store.read_log(ledger.ns, before)
    if rows is None:
        rows = await ledger.store.read_log(ledger.ns, START)
    return rows or ()
