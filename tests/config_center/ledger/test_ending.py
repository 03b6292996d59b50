"""An end is a namespace's last record: at every center, whatever waits, is lost or restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from client_sdk.image import Proven
from config_center.ledger.recovery import restore
from config_center.ledger.registry import Registry
from config_center.ledger.words import Asker, Committed, Mode
from config_center.problems import Problem
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.test_recovery import Raced, beyond, fail_over, saved
from tests.config_center.ledger.world import center, draft, end
from tests.config_center.service_world import ALICE, service
from tests.until import until

NS = "default"


async def last_type(store: MemoryStore) -> str:
    head = await store.head(NS)
    return "" if head is None else head.record.header.type


async def look(registry: Registry) -> Mode:
    """What the center makes of its store now."""
    ledger = registry.ledgers[NS]
    async with ledger.lock:
        await ledger.refresh()
    return ledger.mode


async def test_what_waits_behind_an_end_in_one_batch_is_refused_and_never_signed(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get(NS)

        before, last, *behind = await asyncio.gather(
            ledger.submit(draft("k", 1)),
            ledger.submit(end()),
            ledger.submit(draft("k", 2, "two")),
            ledger.submit(draft("k", 3)),
            return_exceptions=True,
        )

        assert isinstance(before, Committed)
        assert isinstance(last, Committed)
        assert (ledger.state.c, ledger.mode) == (last.c, Mode.ENDED)
        assert [each.name for each in behind if isinstance(each, Problem)] == ["not-found"] * 2
        assert await ledger.find("two") is None
        ledger.set_mode(Mode.READY)  # the head decides, whatever a mode says
        with pytest.raises(Problem, match="was deleted"):
            await ledger.submit(draft("k", 4))
    assert await last_type(store) == "end"
    async with center(tmp_path, store) as registry:
        assert NS not in registry.ledgers


async def test_an_end_that_lost_its_round_refuses_nobody_before_it_is_in(tmp_path: Path) -> None:
    """Another center published meanwhile: all of them are planned anew on what it did."""
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a, center(tmp_path / "b", store) as b:
        await b.get(NS).submit(draft("k", 1))
        refused_at: list[str] = []

        async def put() -> None:
            with pytest.raises(Problem, match="was deleted"):
                await a.get(NS).submit(draft("k", 2))
            refused_at.append(await last_type(store))

        await asyncio.gather(a.get(NS).submit(end()), put())

        assert refused_at == ["end"]
        assert await look(b) is Mode.ENDED


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_everybody_who_listens_hears_the_end_and_is_let_go(
    tmp_path: Path, elsewhere: bool
) -> None:
    """More than are told in one turn of the loop; also where another center ended it."""
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a, center(tmp_path / "b", store) as b:
        listeners = [(b if elsewhere else a).get(NS).watch() for _ in range(5)]

        last = await a.get(NS).submit(end())  # whoever asked for it, not by Registry.end alone
        await look(b)

        async with asyncio.timeout(30):
            heard = [[each async for each in listener] for listener in listeners]
        assert [one[-1].c for one in heard] == [last.c] * 5
        assert {each.reason for each in listeners} == {"the namespace was deleted"}


def forget(store: MemoryStore) -> None:
    del store.spaces[NS]


@pytest.mark.parametrize("happens", [MemoryStore.restart, forget])
async def test_no_epoch_begins_behind_an_end_when_the_store_restarts_or_loses_it(
    tmp_path: Path, happens: Callable[[MemoryStore], None]
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        await registry.end(NS, end())
    happens(store)

    async with center(tmp_path, store) as registry:
        assert NS not in registry.ledgers
        with pytest.raises(Problem, match="is taken"):
            await registry.create(NS, "alice")
    assert await last_type(store) in ("end", "")


async def test_who_adopts_more_slowly_than_another_who_adopts_and_ends_leaves_it_ended(
    tmp_path: Path,
) -> None:
    store = Raced()
    async with center(tmp_path / "a", store) as a, center(tmp_path / "b", store) as b:
        await until(lambda: all(each.get(NS).newest_beat is not None for each in (a, b)))
        store.restart()

        async def quicker() -> None:
            await b.get(NS).submit(end())

        store.other = quicker

        assert await look(a) is Mode.ENDED
    assert await last_type(store) == "end"


async def test_an_end_that_comes_back_when_a_loss_is_accepted_is_an_end(tmp_path: Path) -> None:
    store = MemoryStore()
    async with service(tmp_path, store) as made:
        registry = made.registry
        ledger = registry.get(NS)
        await ledger.submit(draft("k", 1))
        replica = saved(store)
        await registry.end(NS, end())
        fail_over(store, replica)
        ledger.hear_of("gw-7", beyond(ledger))
        assert await look(registry) is Mode.INCOMPLETE

        await made.recovery.accept_loss(NS, ALICE)

        assert ledger.mode is Mode.ENDED
    assert await last_type(store) == "end"


async def test_what_ended_is_not_put_back_into_a_store_that_lost_it(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get(NS)
        await registry.end(NS, end())
        forget(store)
        assert ledger.head is not None

        with pytest.raises(Problem, match="was deleted at 1-2: it stays so"):
            await restore(ledger, Proven(ledger.state, ledger.head, {}), Asker())


async def test_who_waits_at_a_namespace_that_ended_is_not_sent_to_another_center(
    tmp_path: Path,
) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get(NS)
        waiting = asyncio.create_task(ledger.submit(draft("k", 1)))
        await asyncio.sleep(0)
        ledger.end()
        await ledger.close()

        with pytest.raises(Problem, match="was deleted"):
            await waiting
