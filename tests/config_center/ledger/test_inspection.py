"""The guard's look, while the store does not stand still under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from config_center.ledger.inspection import inspect
from config_center.ledger.words import Mode
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.world import QUICK, center, draft
from tests.until import until

# The guard looks when it is told to.
UNGUARDED = replace(QUICK, guard_every=3600.0)


class Flushed(MemoryStore):
    """Loses all it has once the guard has read half of it."""

    async def read_log(self, *about: object) -> object:  # type: ignore[override]
        if self.flushes:
            self.flushes = False
            self.spaces.clear()
        return await super().read_log(*about)  # type: ignore[arg-type]

    flushes = False


async def test_a_store_that_is_flushed_under_the_look_is_empty_and_not_tampered_with(
    tmp_path: Path,
) -> None:
    store = Flushed()
    async with center(tmp_path, store, UNGUARDED) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("prompt", "hello"))
        store.flushes = True

        await inspect(ledger)

        assert ledger.mode is not Mode.TAMPERED  # which no beat would leave
        await until(lambda: ledger.mode is Mode.EMPTY)


async def test_a_store_that_was_edited_and_then_flushed_is_empty_by_the_next_look(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store, UNGUARDED) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("prompt", "hello"))
        rows = store.spaces["default"].rows
        rows["prompt"] = rows["prompt"].replace(b"hello", b"evil!")
        await inspect(ledger)
        assert ledger.mode is Mode.TAMPERED

        store.spaces.clear()
        await inspect(ledger)

        assert ledger.mode is Mode.EMPTY
