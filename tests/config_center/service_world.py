"""A service on a ledger, a memory store and a journal of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from client_sdk.keks import Kek, Keks
from config_center.access import Actor
from config_center.audit.audit import Audit
from config_center.bounds import Limits
from config_center.keys import KeyFiles
from config_center.rotation import Rotation
from config_center.secrets.exchange import HeldKeks
from config_center.service import Service
from config_center.store.base import Store
from tests.config_center.ledger.world import center

NOW = 1_700_000_000_000
ALICE = Actor("alice", "admin")
KEK = Kek.from_secret(b"k" * 32)


@contextlib.asynccontextmanager
async def service(
    home: Path,
    store: Store | None = None,
    limits: Limits | None = None,
    keks: Keks | None = None,
) -> AsyncIterator[Service]:
    """``default`` is there and empty."""
    held = HeldKeks(keks or Keks((KEK,)))
    async with center(home, store, rule=held.believe) as registry:
        audit = await Audit.open(home / "audit.sqlite3", registry.key, registry.verifier)
        keys = {"clock_ms": lambda: NOW, "rng": secrets.token_bytes}
        made = Service(
            registry,
            limits or Limits(),
            held,
            Rotation(registry, KeyFiles(home), every=0.05, **keys),
            clock_ms=lambda: NOW,
            rng=secrets.token_bytes,
            audit=audit,
        )
        try:
            await made.open()
            yield made
        finally:
            await made.close()
            await audit.close()
