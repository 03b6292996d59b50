"""What is acknowledged comes back, or somebody is told: over failovers, two centers and crashes."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from client_sdk.records import START, Position, Record
from config_center.ledger.ledger import Ledger
from config_center.ledger.recovery import next_epoch, replayed
from config_center.ledger.words import Mode
from config_center.problems import Problem
from config_center.store.base import CommitOutcome, StoreDown
from config_center.store.memory import MemoryStore
from tests.config_center.ledger.world import QUICK, center, draft
from tests.history import STRANGER, History, put
from tests.until import until


def saved(store: MemoryStore) -> Any:
    """What a replica that falls behind now would hold."""
    return copy.deepcopy(store.spaces)


def fail_over(store: MemoryStore, replica: Any) -> None:
    """The replica is promoted: its content, and a new replication id."""
    store.spaces = copy.deepcopy(replica)
    store.rid += "'"


def trim(store: MemoryStore) -> None:
    """All but the newest rows leave the log."""
    log = store.spaces["default"].log
    for position in sorted(log)[:-2]:
        del log[position]


async def a_loses_one_of_two(home: Path, store: MemoryStore) -> None:
    """Center A has two changes of ``k`` acknowledged; the store loses the second, A is away."""
    async with center(home / "a", store) as a:
        await a.get("default").submit(draft("k", 1, "one"))
        replica = saved(store)
        await a.get("default").submit(draft("k", 2, "lost"))
    fail_over(store, replica)


def values(ledger: Ledger) -> dict[str, bytes | None]:
    entries = ledger.state.entries
    return {key: entries[key].content.body for key in sorted(ledger.state.keys())}


async def test_what_a_stale_replica_lacks_is_back_under_its_id_in_a_higher_epoch(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1, "one"))
        replica = saved(store)
        lost = await ledger.submit(draft("k", 2, "two"))
        fail_over(store, replica)

        done = await ledger.submit(draft("k", 3, "three"))

        again = await ledger.find("two")
        assert again is not None
        assert again.header.origin == (*lost.position, lost.c.hex())
        assert lost.position < again.position < done.position
        assert (done.result, await ledger.journal.orphans("default")) == (3, [])


async def test_a_store_that_is_merely_behind_is_not_read_through(tmp_path: Path) -> None:
    """Its log of a thousand changes has none that our own journal lacks."""
    store = MemoryStore()
    read: list[Position] = []
    read_log = store.read_log

    async def counted(ns: str, after: Position) -> list[Record] | None:
        if ns == "default":
            read.append(after)
        return await read_log(ns, after)

    store.read_log = counted  # type: ignore[method-assign]
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1, "one"))
        replica = saved(store)
        lost = await ledger.submit(draft("k", 2, "two"))
        fail_over(store, replica)
        read.clear()

        await ledger.submit(draft("k", 3, "three"))

    assert min(read, default=lost.position) == lost.position


async def test_what_others_published_over_is_shown_and_never_brought_back_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A had it acknowledged; B went on where A's change never was."""
    store = MemoryStore()
    await a_loses_one_of_two(tmp_path, store)
    async with center(tmp_path / "b", store) as b:
        await b.get("default").submit(draft("k", 9, "nine"))
    for _ in range(2):  # also after another start
        async with center(tmp_path / "a", store) as a:
            ledger = a.get("default")
            (orphan,) = await ledger.journal.orphans("default")

            assert (orphan.header.id, values(ledger)) == ("lost", {"k": b"9"})
            assert await ledger.find("lost") is None
    assert sum("somebody has to decide" in r.message for r in caplog.records) == 1
    assert [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_what_nobody_published_over_comes_back_though_another_center_adopted(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    await a_loses_one_of_two(tmp_path, store)
    async with center(tmp_path / "b", store):
        pass  # it adopted, and published nothing
    async with center(tmp_path / "a", store) as a:
        ledger = a.get("default")

        assert values(ledger) == {"k": b"2"}
        assert await ledger.journal.orphans("default") == []


async def test_a_change_that_another_center_brought_back_is_no_orphan(tmp_path: Path) -> None:
    """B tailed it, so B replays it; A finds its id on the line and does nothing."""
    store = MemoryStore()
    async with center(tmp_path / "b", store, QUICK) as b:
        async with center(tmp_path / "a", store) as a:
            await a.get("default").submit(draft("k", 1, "one"))
            replica = saved(store)
            done = await a.get("default").submit(draft("k", 2, "two"))
            await until(lambda: b.get("default").state.position == done.position)
        fail_over(store, replica)
        await until(lambda: b.get("default").state.position > done.position)
        async with center(tmp_path / "a", store) as a:
            ledger = a.get("default")

            assert values(ledger) == {"k": b"2"}
            assert await ledger.journal.orphans("default") == []
            found = await ledger.journal.versions("default", "k")
            assert [version.content.version for version in found] == [1, 2]


async def test_a_center_that_missed_a_trimmed_history_tells_what_the_store_does_not_know(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    await a_loses_one_of_two(tmp_path, store)
    async with center(tmp_path / "b", store) as b:
        for number in range(5):
            await b.get("default").submit(draft("other", number))
    trim(store)
    async with center(tmp_path / "a", store) as a:
        ledger = a.get("default")

        assert [row.header.id for row in await ledger.journal.orphans("default")] == ["lost"]
        assert values(ledger) == {"k": b"1", "other": b"4"}


async def test_a_center_that_was_only_away_for_long_tells_of_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a:
        await a.get("default").submit(draft("k", 1, "one"))
    async with center(tmp_path / "b", store) as b:
        for number in range(5):
            await b.get("default").submit(draft("other", number))
    trim(store)
    async with center(tmp_path / "a", store) as a:
        assert await a.get("default").journal.orphans("default") == []


class Full(MemoryStore):
    """Takes no change while ``full``, so that whatever is to come back has to wait."""

    full = False

    async def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if self.full:
            raise StoreDown("it is full")
        return await super().commit(*args, **kwargs)  # type: ignore[arg-type]


async def test_a_center_that_dies_before_it_brought_it_back_forgets_nothing(
    tmp_path: Path,
) -> None:
    """Told first: what was found is on disk before the store's line is believed."""
    store = Full()
    await a_loses_one_of_two(tmp_path, store)
    async with center(tmp_path / "b", store) as b:
        await b.get("default").submit(draft("other", 1, "new"))
    store.full = True
    async with center(tmp_path / "a", store):
        pass
    store.full = False
    async with center(tmp_path / "a", store) as a:
        rows = await a.get("default").journal.orphans("default")

        assert [row.header.id for row in rows] == ["lost"]


# -- what clients prove ----------------------------------------------------------------------------


def beyond(ledger: Ledger, *, epoch: int | None = None) -> Record:
    """A record that a center signed after ``ledger``'s head and that never came here."""
    history = History(ledger.ns)
    history.state = ledger.state
    return history.add(put("k", "unseen", 9), epoch=epoch)


async def test_a_client_that_has_what_nobody_can_bring_back_freezes_the_namespace(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store, QUICK) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        ledger.hear_of("gw-7", beyond(ledger))

        await until(lambda: ledger.mode is Mode.INCOMPLETE)
        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("k", 2))

        assert refused.value.name == "history-incomplete"
        assert "gw-7 has 1-3" in refused.value.detail


async def test_a_record_that_was_signed_and_refused_is_outgrown_by_a_new_epoch(
    tmp_path: Path,
) -> None:
    """Shown to a client by whoever sees script arguments, it would keep that client away."""
    store = MemoryStore()
    async with center(tmp_path, store, QUICK) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        loser = beyond(ledger)
        await ledger.journal.intend("default", [loser])
        await ledger.journal.mark([loser.c], "refused")
        before = ledger.state.position

        ledger.hear_of("gw-7", loser)
        await until(lambda: ledger.state.position.e > before.e)

        assert ledger.state.position > loser.position
        assert (ledger.mode, ledger.heard) == (Mode.READY, {})
        assert values(ledger) == {"k": b"1"}


async def test_what_is_unsigned_or_not_above_us_is_not_listened_to(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        forged = History("default", STRANGER)
        forged.state = ledger.state

        ledger.hear_of("gw-7", forged.add(put("k", "evil", 9)))
        ledger.hear_of("gw-7", ledger.head)
        ledger.hear_of("gw-7", beyond(registry.system))

        assert ledger.heard == {}


def test_two_centers_never_mint_the_same_epoch() -> None:
    minted = {tag: {next_epoch(above, tag) for above in range(5000)} for tag in (3, 4, 1023)}

    assert all(epoch % 1024 == tag for tag, epochs in minted.items() for epoch in epochs)
    assert all(next_epoch(above, 7) > above for above in range(3000))


class Raced(MemoryStore):
    """Before the first adoption that comes, ``other`` is let in: it is the quicker one."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Callable[[], Awaitable[object]] | None = None

    async def commit(self, ns: str, *args: Any, adopt: bool = False) -> CommitOutcome:
        if adopt and self.other is not None:
            other, self.other = self.other, None
            await other()
        return await super().commit(ns, *args, adopt=adopt)


@contextlib.asynccontextmanager
async def two_that_know_what_was_lost(home: Path) -> AsyncIterator[tuple[Ledger, Ledger, Raced]]:
    """The store lost a change of ``k`` that A and B hold; neither has looked yet."""
    store = Raced()
    async with center(home / "b", store) as b, center(home / "a", store) as a:
        mine, other = a.get("default"), b.get("default")
        await mine.submit(draft("k", 1, "one"))
        replica = saved(store)
        await mine.submit(draft("k", 2, "lost"))
        async with other.lock:
            await other.refresh()
        fail_over(store, replica)
        yield mine, other, store


async def test_what_a_quicker_center_brought_back_leaves_no_dead_rows_in_our_journal(
    tmp_path: Path,
) -> None:
    async with two_that_know_what_was_lost(tmp_path) as (mine, other, store):
        store.other = other.refresh
        async with mine.lock:
            await mine.refresh()

        rows = await mine.journal.above("default", START)
        assert replayed("default", mine.verifier, None, rows) == mine.state
        assert await mine.journal.orphans("default") == []


async def test_a_center_that_others_are_always_quicker_than_looks_again_and_cries_no_tampering(
    tmp_path: Path,
) -> None:
    """Tampered with, it took no changes until the guard's next look, and nothing was false."""
    async with two_that_know_what_was_lost(tmp_path) as (mine, other, store):

        async def quicker() -> None:
            await other.submit(draft("other", 1))
            store.other = quicker

        store.other = quicker
        async with mine.lock:
            await mine.refresh()
            late = mine.mode
            store.other = None
            await mine.refresh()

        assert (late, mine.mode) == (Mode.UNREACHABLE, Mode.READY)
        assert values(mine) == {"k": b"2", "other": b"1"}


@pytest.mark.parametrize("over", [False, True])
async def test_an_orphan_that_a_quicker_center_brought_back_does_not_come_twice(
    tmp_path: Path, over: bool
) -> None:
    async with two_that_know_what_was_lost(tmp_path) as (mine, other, store):
        async with center(tmp_path / "c", store):
            pass  # it adopted what the store held, and knew of nothing more
        store.restart()

        async def quicker() -> None:
            async with other.lock:
                await other.refresh()
            if over:
                await other.submit(draft("k", 3, "newer"))

        store.other = quicker
        async with mine.lock:
            await mine.refresh()
        log = [Record.decode(frame).header.id for frame in store.spaces["default"].log.values()]

        assert log.count("lost") == 1
        assert values(mine) == {"k": b"3" if over else b"2"}
