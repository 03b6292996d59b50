"""
Bringing back what the store lost: rejoin its line, take peers' rows, adopt, replay.

Every restart of a Redis has a new replication id, and so has every failover: the store may have
lost its newest writes, or hold others in their place. The order is the law:

1. **Tell first.** Rows of ours that the store's line lacks (lines.py) are on disk as orphans before
   anything is built on that line; a crash in between forgets nobody.
2. **Ask the peers** for what they have above the store's head, so that whoever adopts first brings
   back what any of us acknowledged.
3. **Cover.** Whatever somebody proved to have seen above the store's head must be in our journal;
   else we freeze and say what is missing: another center may have it.
4. **One script** holds the ``adopt`` record of the new epoch and every replay behind it, signed
   anew with its old place as ``origin``: no client ever sees the older state in between. The epoch
   is written down (fsync) before it is used, a new number each try, in this journal's own residue
   class modulo 1,024: no two centers mint the same one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from client_sdk.data_keys import without_shredded
from client_sdk.errors import NotVerified
from client_sdk.records import GENESIS, START
from client_sdk.signing import REVOKED
from client_sdk.state import NamespaceState
from config_center.ledger.lines import Judged, judge, part, path_from
from config_center.ledger.proof import check_rows, follow
from config_center.ledger.words import Asker, Draft, Incomplete, Planned, TooOld
from config_center.ledger.writer import sign
from config_center.problems import Problem, invalid
from config_center.store.base import Committed, Pending, Restored, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client_sdk.image import Image, Proven
    from client_sdk.records import Record
    from client_sdk.signing import Verifier
    from client_sdk.steps import Mark
    from config_center.ledger.ledger import Ledger

log = logging.getLogger(__name__)

_TRIES = 5
_CLASSES = 1024
_REMEMBERED_MS = 24 * 3600 * 1000  # as long as the store remembers change ids


def next_epoch(above: int, tag: int) -> int:
    """The smallest number above ``above`` that is ``tag`` modulo 1,024."""
    candidate = above + 1
    return candidate + (tag - candidate) % _CLASSES


async def rejoin(ledger: Ledger, head: Record, mine: Mark) -> tuple[tuple[Record, ...], Judged]:
    """
    The store stands on a line that does not go on from ``mine``: its news since the lines parted,
    and what becomes of our rows that it lacks; those are orphans on disk when this returns.

    Raises NotVerified for a log that proves nothing.
    """
    ns, journal = ledger.ns, ledger.journal
    rows = await ledger.store.read_log(ns, START) or []
    rows = [row for row in rows if row.position <= head.position]
    await asyncio.to_thread(check_rows, ns, ledger.verifier, rows, head)
    chains = [row.c for row in rows] + [row.header.p for row in rows[:1]] + [head.c]
    known = await journal.known(ns, chains)
    if head.c in known:
        return (), Judged()  # the store is behind us on one line: adoption brings it forward
    parting = part(rows, known)
    if parting.base is None:
        await journal.hole(ns, mine.c, rows[0].header.p if rows else head.header.p)
        ours = await _ours_alone(ledger, parting.news, mine)
    else:
        base = await journal.position_of(ns, parting.base)
        line = {row.c for row in parting.news}
        ours = [row for row in await journal.above(ns, base) if row.c not in line]
    judged = judge(ours, parting.news)
    await _tell(ledger, judged)
    return parting.news, judged


async def _ours_alone(ledger: Ledger, news: Sequence[Record], mine: Mark) -> list[Record]:
    """
    What the store's line lacks, where no row of it is known. Every change adds one to the revision:
    a log that passes the revision of our base without it parted before, so all above is ours alone.
    """
    base = await ledger.journal.base(ledger.ns)
    if base is None or not news or news[0].position.v > base.position.v + 1:
        return await _unknown_to(ledger, news, mine)
    log.error(
        "namespace %s: the store stands on a line that parted before %s, where this center's "
        "journal begins: what it published since is orphaned, what is older stays as it is there",
        ledger.ns,
        base.position,
    )
    return await ledger.journal.above(ledger.ns, base.position)


async def _unknown_to(ledger: Ledger, news: Sequence[Record], mine: Mark) -> list[Record]:
    """
    Where history in between was trimmed nothing is proven by links: an epoch has one line only, and
    for older ones the store's own list of ids says what it has. It is a hint, but what it hides can
    only fail to be shown, and nothing is applied because of it.
    """
    if news and news[0].position.e == mine.position.e and news[0].position > mine.position:
        return []
    since = time.time_ns() // 1_000_000 - _REMEMBERED_MS
    rows = await ledger.journal.since(ledger.ns, since)
    there = await ledger.store.known_ids(ledger.ns, [row.header.id for row in rows])
    return [row for row in rows if row.header.id not in there]


async def _tell(ledger: Ledger, judged: Judged) -> None:
    journal = ledger.journal
    await journal.mark([row.c for row in judged.void], "replayed")
    await journal.mark([row.c for row in (*judged.again, *judged.waiting)], "orphan")
    for row in judged.waiting:
        keys = ", ".join(op.key for op in row.header.ops)
        log.error(
            "namespace %s: the store lost %s (%s by %s) and went on without it: "
            "`config-center orphans ls` shows it, and somebody has to decide",
            ledger.ns,
            row.position,
            keys,
            row.header.author,
        )


async def adopt(
    ledger: Ledger,
    again: Sequence[Record] = (),
    *,
    covered: bool = True,
    why: str = "the store has a new history",
    asker: Asker | None = None,
) -> None:
    """
    Begin a new epoch on what the store holds (already learnt and verified), with what it lost and
    ``again`` behind it. Hold the lock. Not ``covered``: ``asker`` accepts that what was heard of is
    lost. A namespace that ended there is left as it is.

    Raises StoreDown or OutcomeUnknown of the store; Incomplete when somebody proved to have seen
    what nobody here can bring back; StoreRefused when others were quicker every time, which is no
    tampering: the next beat looks again.
    """
    await ledger.ask_peers(ledger)
    if covered:
        await _cover(ledger)
    for _ in range(_TRIES):
        if ledger.has_ended:  # or ended meanwhile, by another center that was quicker
            return
        lost = [*await _lost_rows(ledger), *again]
        above = max(ledger.state.position.e, *(r.position.e for r in ledger.heard.values()), 0)
        minted = await ledger.journal.mint_epoch(ledger.ns, above, next_epoch)
        if await _commit(ledger, lost, minted, asker or Asker()):
            ledger.heard.clear()
            log.log(
                # An embedded store has a new history at every start: nobody has to act on that.
                logging.WARNING if lost else logging.INFO,
                "namespace %s: %s; epoch %d begins at %s, %d changes that it had lost are back",
                ledger.ns,
                why,
                minted,
                ledger.state.position,
                len(lost),
            )
            return
        again = await _after_another(ledger, lost)
    raise StoreRefused(f"others were quicker to change {ledger.ns} {_TRIES} times while adopted")


async def _after_another(ledger: Ledger, rows: Sequence[Record]) -> Sequence[Record]:
    """
    Another center adopted before us: learn what it made of the store, and judge anew what we would
    have brought back. It may be there already, or somebody may have published over it.
    """
    before = ledger.state.position
    again = await ledger.learn()
    if again:
        return again
    news = await ledger.journal.after(ledger.ns, before, -1)
    judged = Judged(waiting=tuple(rows)) if news is None else judge(rows, news)
    await _tell(ledger, judged)
    return judged.again


async def bring_back(ledger: Ledger, rows: Sequence[Record]) -> None:
    """Replay orphans that nobody published over since, in order, in the present epoch."""
    if await _commit(ledger, rows, None, Asker()):
        log.warning("namespace %s: %d changes that were lost are back", ledger.ns, len(rows))


async def remember(ledger: Ledger) -> None:
    """
    Believe the journal while the store is away or empty, where nothing was verified yet: readers
    are served, tokens open, and it can be put back. Nothing is built on it.
    """
    if ledger.head is not None or ledger.remembered:
        return
    ns, journal = ledger.ns, ledger.journal
    base = await journal.base_image(ns)
    rows = await journal.above(ns, START if base is None else base.head.position)
    ring = await journal.ring(ns)
    state = await asyncio.to_thread(replayed, ns, ledger.verifier, base, rows)
    ledger.remembered = True  # once: this reads the whole journal
    head = rows[-1] if rows else None if base is None else base.head
    if state is not None and head is not None:
        ledger.ring = without_shredded(ring, state.entries)
        ledger.believe(state, head, ())


def replayed(
    ns: str, verifier: Verifier, base: Image | None, rows: Sequence[Record]
) -> NamespaceState | None:
    """
    The state that a whole history leads to from its base (``None``: from the beginning), proven by
    its digests; ``None`` for one that does not begin there, or has a hole. It lay on our own disk.
    """
    try:
        state = NamespaceState.empty() if base is None else base.proven(ns, verifier.past).state
        linked = all(row.header.p == before.c for before, row in pairwise(rows))
        begins = not rows or rows[0].header.p == state.c
        return follow(state, rows) if linked and begins else None
    except NotVerified as error:
        log.error("the journal of %s cannot be replayed: %s", ns, error)
        return None


async def require_newer_than_base(ledger: Ledger, head: Record) -> None:
    """
    Raise TooOld for a store that stands before the base of our journal: what lies in between is
    gone from here as changes, so it can be put back as a whole, but not replayed.
    """
    base = await ledger.journal.base(ledger.ns)
    if base is not None and head.position < base.position:
        raise TooOld(
            f"the store stands at {head.position}, and this center's journal begins at "
            f"{base.position}: an old copy was put back, and what lies in between cannot be "
            f"replayed. Put back a newer copy, or remove the key cc:{{{ledger.ns}}}:head from the "
            "store and restore from the journal (`config-center restore --from-journal`)"
        )


async def restore(
    ledger: Ledger, whole: Proven, asker: Asker, replaces: Record | None = None
) -> None:
    """
    Put ``whole`` into a store that lost the namespace, under a new epoch. What our journal has
    beyond it are orphans. ``replaces`` is the head of one that was begun anew meanwhile and holds
    nothing: it goes. Hold the lock.

    Raises StoreDown or OutcomeUnknown of the store; Problem 409 when there is a head by now, 400
    for a namespace that ended.
    """
    ns, journal = ledger.ns, ledger.journal
    if whole.head.header.type == "end":
        raise invalid(f"the namespace {ns} was deleted at {whole.head.position}: it stays so")
    record, state = await _begun(ledger, whole, asker)
    shredded = {*whole.state.entries, *ledger.state.entries}  # also what is newer than ``whole``
    ring = ledger.ring_rule(ns, await journal.ring(ns), whole.ring, shredded)
    await journal.intend(ns, [record], ring)
    await journal.keep_ring(ns, ring)
    pending = Pending(record, tuple(state.entries.values()), state)
    ids, gone = await _ids(ledger, whole.head), None if replaces is None else replaces.c
    outcome = await ledger.store.restore(pending, ring, ids, gone)
    if not isinstance(outcome, Committed):
        await journal.mark([record.c], "refused")
        raise Problem("not-empty", f"the store has a head of {ns} again; look before you go on")
    if replaces is not None:
        await journal.mark([replaces.c], "dropped")
    beyond = [row for row in await journal.beyond(ns, whole.head.position) if row.c != record.c]
    if not await journal.known(ns, [whole.head.c]):
        await journal.hole(ns, GENESIS, whole.head.c)
    await journal.mark([record.c], "committed")
    judged = judge(beyond, ())
    await _tell(ledger, Judged((), (*judged.again, *judged.waiting), judged.void))
    ledger.ring = ring
    ledger.believe(state, record, [record])
    log.warning("namespace %s: restored by %s at %s", ns, asker.author, record.position)


async def _begun(ledger: Ledger, whole: Proven, asker: Asker) -> tuple[Record, NamespaceState]:
    """The record that begins what is put back, in an epoch above all that were heard of."""
    above = max(whole.head.position.e, *(r.position.e for r in ledger.heard.values()), 0)
    minted = await ledger.journal.mint_epoch(ledger.ns, above, next_epoch)
    draft = Draft(
        f"restore-{minted}",
        "",
        asker.author,
        _nothing,
        asker.comment,
        asker.request,
        type="restore",
    )
    return sign(ledger, draft, Planned(()), whole.state, epoch=minted)


async def _ids(ledger: Ledger, head: Record) -> list[Restored]:
    """What was published until then, as long as the store would remember it."""
    since = time.time_ns() // 1_000_000 - _REMEMBERED_MS
    rows = await ledger.journal.since(ledger.ns, since)
    rows = [row for row in rows if row.position <= head.position]
    return [Restored(r.header.id, r.position, r.c, r.header.req_hash) for r in rows]


async def _cover(ledger: Ledger) -> None:
    refused = ledger.verifier.trust.refused
    for who, record in ledger.heard.items():
        gone = refused.get(record.header.kid)
        if gone is not None and gone.why == REVOKED:
            continue  # the thief's, and no loss: the new epoch lies above it
        above = record.position >= ledger.state.position and record.c != ledger.state.c
        if above and not await ledger.journal.holds(ledger.ns, record.c):
            raise Incomplete(
                f"{who} has {record.position}, which is signed and which neither the store nor "
                "any center that answers has; start the center that has it, or say that the loss "
                "is accepted (POST .../restore)"
            )


async def _lost_rows(ledger: Ledger) -> list[Record]:
    """
    History above the store's head that follows it. Rows beside that path stand on a line that the
    store never had: they are orphans.
    """
    rows = await ledger.journal.above(ledger.ns, ledger.state.position)
    path, beside = path_from(ledger.state.c, rows)
    judged = judge(beside, path)
    await _tell(ledger, Judged((), (*judged.again, *judged.waiting), judged.void))
    return path


async def _commit(ledger: Ledger, rows: Sequence[Record], epoch: int | None, asker: Asker) -> bool:
    """
    Commit ``rows`` again, behind an ``adopt`` record of ``asker`` where there is a new ``epoch``;
    False when somebody else was first.
    """
    # A thousand signatures take a second, in which beats and readers go on.
    pendings, state = await asyncio.to_thread(_chain, ledger, rows, epoch, asker)
    if not pendings:
        return True
    journal, records = ledger.journal, [pending.record for pending in pendings]
    await journal.intend(ledger.ns, records)
    adopting = epoch is not None
    outcome = await ledger.store.commit(ledger.ns, ledger.mark, pendings, adopt=adopting)
    if not isinstance(outcome, Committed):
        await journal.mark([record.c for record in records], "refused")
        return False
    await journal.mark([record.c for record in records], "committed")
    await journal.replayed([row.c for row in rows])
    ledger.believe(state, records[-1], records)
    return True


def _chain(
    ledger: Ledger, rows: Sequence[Record], epoch: int | None, asker: Asker
) -> tuple[list[Pending], NamespaceState]:
    pendings, state = [], ledger.state
    if epoch is not None:
        ident = f"adopt-{epoch}"
        by, why = asker.author, asker.comment
        draft = Draft(ident, "", by, _nothing, why, asker.request, type="adopt")
        record, state = sign(ledger, draft, Planned(()), state, epoch=epoch)
        pendings.append(Pending(record, (), state))
    for row in rows:
        header = row.header
        planned = Planned(state.embody(header.ops, row.bodies))
        again = Draft(
            header.id,
            header.req_hash,
            header.author,
            _nothing,
            header.comment,
            header.request,
            header.type,
            approved_by=header.approved_by,
            urgent=header.urgent,
        )
        record, state = sign(ledger, again, planned, state, epoch=epoch, replay_of=row)
        entries = tuple(state.entries[op.key] for op in planned.ops)
        pendings.append(Pending(record, entries, state))
    return pendings, state


def _nothing(_: NamespaceState) -> Planned:
    return Planned(())
