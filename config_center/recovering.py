"""
What people decide when history was lost: orphans, a store that is empty, a loss that is accepted.

An orphan that comes back by decision is published anew, on the present, **under its own id**:
whoever published it may have asked again meanwhile, and the id allows one effect. One that is
dropped leaves a tombstone under its id, so it cannot come back by another center either.

What comes back is planned and judged anew (replaying.py), and stays an orphan while it is refused.
That two persons once agreed on it is no way in: what they looked at stood on what is gone. Which
verb it once was no record says, so a rollback that was lost is judged as a publish; it can be made
again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from client_sdk.contents import Op
from client_sdk.errors import NotVerified
from client_sdk.image import Image, Proven
from client_sdk.signing import REVOKED
from config_center.journal import JournalDown
from config_center.ledger.recovery import adopt, require_newer_than_base, restore
from config_center.ledger.rings import is_about_ring, settle_now
from config_center.ledger.words import Asker, Draft, Mode, Planned, TooOld
from config_center.problems import Problem, invalid, not_found
from config_center.publishing import MAX_COMMENT, check_comment
from config_center.replaying import judge_again, plan_again
from config_center.review.policy import (
    center_freeze,
    check_urgent,
)
from config_center.rollouts.book import timestamp
from config_center.store.base import OutcomeUnknown, StoreDown, StoreRefused

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Coroutine, Mapping

    from client_sdk.records import Record
    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.registry import Registry
    from config_center.space import Space

log = logging.getLogger(__name__)

DECISIONS = ("replay", "drop")


_PREFIX = 6  # characters that may stand for the id of an orphan


class Recovery:
    """
    The decisions about the namespaces of one center. ``urgent`` counts what was published in an
    emergency, by namespace.
    """

    def __init__(
        self, registry: Registry, space_of: Callable[[str], Space], urgent: Counter[str]
    ) -> None:
        self._registry = registry
        self._space_of = space_of
        self._urgent = urgent

    async def orphans(self, ns: str) -> list[dict[str, Any]]:
        """What was acknowledged and is not in the store's line, oldest first."""
        ledger = self._registry.get(ns)
        return [_words(row, ledger.state) for row in await self._undecided(ledger)]

    async def decide(
        self,
        ns: str,
        ident: str,
        decision: str,
        actor: Actor,
        comment: str = "",
        urgent: bool = False,
    ) -> dict[str, Any]:
        """
        Bring an orphan back as a new revision, or drop it for good; ``urgent``, with a comment, is
        for what a policy or a freeze refuses. Raises Problem 400, 404, 409, 428, 503 ``frozen``.
        """
        check_urgent(check_comment(comment), urgent=urgent)
        if urgent and decision != "replay":
            raise invalid("only a replay is urgent: nothing refuses to drop an orphan")
        ledger = self._registry.get(ns)
        rows = await self._rows(ledger, ident)
        row = rows[-1]
        draft = _tombstone(row, actor)
        if decision == "replay":
            draft = self._again(row, actor, comment, urgent=urgent)
        done = await ledger.submit(draft)
        if is_about_ring(row):
            await _settle(ledger)
        if urgent and not done.replayed:
            self._urgent[ns] += 1
        status = "replayed" if decision == "replay" else "dropped"
        await ledger.journal.mark([each.c for each in rows], status)
        log.warning("orphan %s of %s: %s by %s", ident, ns, decision, actor.name)
        return {
            "id": ident,
            "decision": decision,
            "epoch": done.header.e,
            "revision": done.header.v,
        }

    async def _rows(self, ledger: Ledger, ident: str) -> list[Record]:
        """The orphan of this id, or of the one that begins so. Raises Problem 404."""
        undecided = await self._undecided(ledger)
        rows = [row for row in undecided if row.header.id == ident]
        if not rows and len(ident) >= _PREFIX:  # as people type what they see
            rows = [row for row in undecided if row.header.id.startswith(ident)]
        if len({row.header.id for row in rows}) != 1:
            raise not_found(f"there is no orphan {ident[:64]!r}; GET .../orphans lists them")
        return rows

    async def restore(
        self, ns: str, frame: bytes | None, actor: Actor, comment: str
    ) -> dict[str, Any]:
        """
        Put a namespace back into a store that lost it: from this center's journal, or from the
        bytes of an export or of a client's snapshot. ``replicated`` says whether as many replicas
        have it as ``ack_replicas`` asks for; after a loss they may be away, so it is not waited for
        as a change is. Raises Problem 400, 404, 409.
        """
        ledger = self._registry.get(ns)
        system = self._registry.system
        asker = Asker(actor.name, actor.request_id, comment)
        if ledger is not system and system.mode is Mode.EMPTY:
            await _put_back(system, _journaled(system), asker)
        whole = _journaled(ledger) if frame is None else await _given(ledger, frame)
        await _put_back(ledger, whole, asker, given=frame is not None)
        await self._registry.lists.lay(ns)
        return {
            "namespace": ns,
            "position": str(ledger.state.position),
            "restored": str(whole.head.position),
            "keys": len(ledger.state.keys()),
            "replicated": await ledger.store.is_replicated(ns),
            "orphans": await self.orphans(ns),
        }

    async def accept_loss(self, ns: str, actor: Actor, comment: str = "") -> dict[str, Any]:
        """
        Go on without what somebody saw and nobody has. Raises Problem 409 when nothing is missing,
        503 when the store cannot be reached.
        """
        ledger = self._registry.get(ns)
        lost = await _go_on_without(ledger, Asker(actor.name, actor.request_id, comment))
        log.error("%s accepted that %s lost %s", actor.name, ns, "; ".join(lost))
        return {"namespace": ns, "position": str(ledger.state.position), "lost": lost}

    def _again(self, row: Record, actor: Actor, comment: str, *, urgent: bool) -> Draft:
        header, system = row.header, self._registry.system.ns
        space = None if header.ns == system else self._space_of(header.ns)

        def plan(state: NamespaceState) -> Planned:
            planned = plan_again(state, row, space)
            if space is not None:
                freeze = center_freeze(self._registry.system.state)
                judge_again(state, freeze, row, planned.ops, actor, urgent=urgent)
            return planned

        both = f"{comment} (lost before: {header.comment})" if header.comment else comment
        return Draft(
            header.id,
            header.req_hash,
            header.author,
            plan,
            both[:MAX_COMMENT] if comment else header.comment,
            header.request,
            header.type,
            approved_by=header.approved_by,
            urgent=header.urgent or urgent,
        )

    async def _undecided(self, ledger: Ledger) -> list[Record]:
        """Without those that another center has brought back, or dropped, meanwhile."""
        rows = await ledger.journal.orphans(ledger.ns)
        there = [row for row in rows if await ledger.find(row.header.id) is not None]
        if there:
            await ledger.journal.mark([row.c for row in there], "replayed")
        return [row for row in rows if row not in there]


async def _put_back(ledger: Ledger, whole: Proven, asker: Asker, *, given: bool = False) -> None:
    """
    ``given``: by a person, so it may take the place of a namespace that was begun anew and holds
    nothing. Raises Problem 409 when there is nothing to restore, 503 when the store is away.
    """
    async with ledger.lock:
        await ledger.refresh()
        blank = _blank(ledger) if given else None
        if ledger.mode is not Mode.EMPTY and blank is None:
            raise Problem("not-empty", f"the store holds {ledger.ns}; nothing has to be restored")
        await _recover(ledger, restore(ledger, whole, asker, blank))


def _blank(ledger: Ledger) -> Record | None:
    """The head of a namespace in which nothing was ever published; journal and store were lost."""
    head = ledger.head
    begun = head is not None and head.header.type == "create" and not ledger.state.entries
    return head if begun and ledger.mode in (Mode.READY, Mode.INCOMPLETE) else None


async def _go_on_without(ledger: Ledger, asker: Asker) -> list[str]:
    """Adopt what the store holds; who had what of the rest, as sentences."""
    async with ledger.lock:
        await ledger.refresh()
        if ledger.mode is not Mode.INCOMPLETE:
            raise Problem("nothing-lost", f"nothing is known to be missing from {ledger.ns}")
        lost = [
            f"{record.position} ({record.header.id} by {record.header.author}), seen by {who}"
            for who, record in ledger.heard.items()
        ]
        await _recover(ledger, _adopt_uncovered(ledger, asker))
    return lost


async def _adopt_uncovered(ledger: Ledger, asker: Asker) -> None:
    stored = await ledger.store.head(ledger.ns)
    if stored is not None:
        await require_newer_than_base(ledger, stored.record)
    await adopt(ledger, covered=False, asker=asker)


async def _settle(ledger: Ledger) -> None:
    """A secret whose end has come back is gone now, and not when the guard looks next."""
    async with ledger.lock:
        try:
            await settle_now(ledger)
        except (StoreDown, StoreRefused, JournalDown) as error:
            log.warning("data keys of %s that were shredded go later: %s", ledger.ns, error)


async def _recover(ledger: Ledger, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (StoreDown, StoreRefused, OutcomeUnknown) as error:
        raise Problem("store-unavailable", f"{error}; try again") from error
    except TooOld as error:
        raise Problem("history-incomplete", str(error), namespace=ledger.ns) from error
    ledger.go_on()


def _journaled(ledger: Ledger) -> Proven:
    if ledger.head is None:
        raise Problem(
            "history-incomplete",
            f"this center's journal of {ledger.ns} does not reach back to its beginning: send an "
            "export, or a client's snapshot",
        )
    return Proven(ledger.state, ledger.head, dict(ledger.ring))


async def _given(ledger: Ledger, frame: bytes) -> Proven:
    try:
        image = await asyncio.to_thread(Image.decode, frame)
        held = bool(await ledger.journal.known(ledger.ns, [image.head.c]))
        gone = ledger.verifier.trust.refused.get(image.head.header.kid)
        if gone is not None and gone.why == REVOKED and not held:
            raise invalid(
                "this was signed by a key that was revoked, and this center's journal does not "
                "hold it: anybody who stole the key can have made it"
            )
        return await asyncio.to_thread(image.proven, ledger.ns, ledger.verifier.past)
    except NotVerified as error:
        raise invalid(f"this cannot be restored: {error}") from error


def _tombstone(row: Record, actor: Actor) -> Draft:
    return Draft(
        row.header.id,
        "cancel",
        actor.name,
        lambda _: Planned(()),
        "dropped after the store had lost it",
        actor.request_id,
        "cancel",
    )


def _words(row: Record, state: NamespaceState) -> dict[str, Any]:
    header = row.header
    return {
        "id": header.id,
        "position": str(row.position),
        "type": header.type,
        "author": header.author,
        "comment": header.comment,
        "at": timestamp(header.ts),
        "keys": [_key_words(op, state.entries) for op in header.ops],
    }


def _key_words(op: Op, entries: Mapping[str, Any]) -> dict[str, Any]:
    entry = entries.get(op.key)
    content = op.content if op.rollout is None else op.rollout.content
    return {
        "key": op.key,
        "version": None if content is None else content.version,
        "sha256": None if content is None else content.sha256,
        "percent": None if op.rollout is None else op.rollout.percent,
        "now": None if entry is None else {"version": entry.version, "latest": entry.latest},
    }
