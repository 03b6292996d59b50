"""
A store with a new history: prove it, begin a new epoch, bring back what was acknowledged.

Every restart of a Redis has a new replication id, and so has every failover: the store may have
lost its newest writes. The journal knows what this center committed. Adoption is itself a record
(``adopt``, epoch larger, revision + 1), followed in the same script by every change that the store
lost, signed anew under the new epoch with its old position as ``origin``. One script: no client
ever sees the older state in between.

The new epoch is written down (fsync) before it is used, a new number each try, and lies in this
journal's own residue class modulo 1,024, so that no two centers mint the same one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified
from config_center.ledger.words import Draft, Planned
from config_center.ledger.writer import sign
from config_center.store.base import Committed, Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client_sdk.records import Record
    from client_sdk.state import NamespaceState
    from config_center.ledger.ledger import Ledger

log = logging.getLogger(__name__)

_TRIES = 5
_CLASSES = 1024


def next_epoch(above: int, tag: int) -> int:
    """The smallest number above ``above`` that is ``tag`` modulo 1,024."""
    candidate = above + 1
    return candidate + (tag - candidate) % _CLASSES


async def adopt(ledger: Ledger) -> None:
    """
    Begin a new epoch on what the store holds (already learnt and verified). Hold the lock.

    Raises StoreDown or OutcomeUnknown of the store; NotVerified when our own journal contradicts
    it.
    """
    for _ in range(_TRIES):
        lost = await _lost_rows(ledger)
        minted = await ledger.journal.mint_epoch(ledger.ns, ledger.state.position.e, next_epoch)
        pendings, state = _chain(ledger, minted, lost)
        records = [pending.record for pending in pendings]
        await ledger.journal.intend(ledger.ns, records)
        outcome = await ledger.store.commit(ledger.ns, ledger.mark, pendings, adopt=True)
        if isinstance(outcome, Committed):
            await ledger.journal.mark([record.c for record in records], "committed")
            await ledger.journal.replayed([record.c for record in lost])
            ledger.believe(state, records[-1], records)
            log.log(
                # An embedded store has a new history at every start: nobody has to act on that.
                logging.WARNING if lost else logging.INFO,
                "namespace %s: the store has a new history; epoch %d begins at %s, %d changes "
                "that it had lost are back",
                ledger.ns,
                minted,
                records[0].position,
                len(lost),
            )
            return
        await ledger.journal.mark([record.c for record in records], "refused")
        await ledger.learn()
    raise NotVerified(f"the store of {ledger.ns} changed its history {_TRIES} times while adopted")


async def _lost_rows(ledger: Ledger) -> list[Record]:
    """Our committed rows above the store's head, if they follow it without a hole."""
    rows = await ledger.journal.above(ledger.ns, ledger.state.position)
    path: list[Record] = []
    c = ledger.state.c
    for row in rows:
        if row.header.p != c:
            raise NotVerified(
                f"this center acknowledged {row.position}, which does not follow the store's head "
                f"{ledger.state.position}: two histories; restore the right one"
            )
        path.append(row)
        c = row.c
    return path


def _chain(
    ledger: Ledger, epoch: int, lost: Sequence[Record]
) -> tuple[list[Pending], NamespaceState]:
    draft = Draft(f"adopt-{epoch}", "", "config-center", lambda _: Planned(()), type="adopt")
    record, state = sign(ledger, draft, Planned(()), ledger.state, epoch=epoch)
    pendings = [Pending(record, (), state)]
    for row in lost:
        header = row.header
        planned = Planned(state.embody(row.header.ops, row.bodies))
        again = Draft(
            header.id,
            header.req_hash,
            header.author,
            lambda _: Planned(()),
            header.comment,
            header.request,
            header.type,
        )
        record, state = sign(ledger, again, planned, state, epoch=epoch, replay_of=row)
        entries = tuple(state.entries[op.key] for op in planned.ops)
        pendings.append(Pending(record, entries, state))
    return pendings, state
