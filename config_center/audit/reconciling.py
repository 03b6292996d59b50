"""
Which changes were made here and have no entry: pure.

A record carries the id of the request that asked for it, and that begins with the name of the chain
whose center let it in. So a record that names ours and whose request no entry knows is a change
that took effect and was not written down: the center was killed between the two, the power went, or
somebody put back an older copy of the file. It gets an entry now, with what the record says; from
where it was asked for is not known any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.audit.entries import ACCEPTED, FOUND, Entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from client_sdk.records import Header

_NAMED = 8  # characters
_WHY = "the record was in the journal at a start, and had no entry"


def run_name(chain: str, drawn: str) -> str:
    """What the request ids of one run of a center begin with; ``drawn`` at its start."""
    return chain[:_NAMED] + drawn


def unaccounted(
    headers: Iterable[Header], chain: str, requests: Collection[str], now: int
) -> list[Entry]:
    """
    An entry for each change that was let in under this chain and that no entry names, in their
    order. ``requests``: those that entries name; ``now`` in milliseconds. A request may have made
    several records; each gets its own.
    """
    return [
        _entry(header, now)
        for header in headers
        if header.request.startswith(chain[:_NAMED]) and header.request not in requests
    ]


def _entry(header: Header, now: int) -> Entry:
    return Entry(
        at=now,
        event=FOUND,
        outcome=ACCEPTED,
        actor=header.author,
        namespace=header.ns,
        keys=tuple(op.key for op in header.ops),
        comment=header.comment,
        detail=_WHY,
        change=header.id,
        position=str(header.position),
        request=header.request,
        since=header.ts,
    )
