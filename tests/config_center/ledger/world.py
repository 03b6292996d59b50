"""A ledger on a store and a journal of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from client_sdk.contents import Op
from client_sdk.state import NamespaceState
from config_center.journal import Journal
from config_center.ledger.keeper import Rhythm
from config_center.ledger.registry import Registry
from config_center.ledger.rings import all_of_both
from config_center.ledger.words import Draft, Planned
from config_center.store.base import Store
from config_center.store.memory import MemoryStore
from tests.history import KEY, content, verifier

if TYPE_CHECKING:
    from config_center.ledger.rings import RingRule

QUICK = Rhythm(beat_every=0.05, ttl=10, guard_every=0.1, patience=0.2)
STILL = Rhythm(beat_every=3600, guard_every=3600, prune_every=3600)


def draft(key: str, value: object, change: str = "", asked: str = "asked") -> Draft:
    """Publish ``value``; the result of the plan is the version it gets."""

    def plan(state: NamespaceState) -> Planned:
        entry = state.entries.get(key)
        version = 1 if entry is None else entry.latest + 1
        return Planned((Op(key, "set", version, content(value, version)),), result=version)

    return Draft(change or secrets.token_hex(8), asked, "tester", plan)


def end() -> Draft:
    """The last record of a namespace."""
    return Draft("end", "asked", "alice", lambda _: Planned(()), type="end")


@contextlib.asynccontextmanager
async def center(
    home: Path,
    store: Store | None = None,
    rhythm: Rhythm = STILL,
    rule: RingRule = all_of_both,
) -> AsyncIterator[Registry]:
    """A center's ledgers; ``default`` is there."""
    journal = await Journal.open(home / "journal.sqlite3")
    registry = Registry(store or MemoryStore(), journal, KEY, verifier(), "center-1", rhythm)
    registry.ring_rule = rule
    try:
        await registry.open()
        yield registry
    finally:
        await registry.close()
        await journal.close()
