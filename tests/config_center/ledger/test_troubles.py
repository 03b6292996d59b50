"""What a center does when its store, its journal or another center is in the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis as synchronous
import redis.asyncio as redis

from benchmarks.processes import free_port
from client_sdk.contents import Op
from client_sdk.image import Image
from client_sdk.state import NamespaceState
from config_center.ledger.words import Draft, Mode, Planned
from config_center.problems import Problem
from config_center.store.base import (
    CommitOutcome,
    OutcomeUnknown,
    Retention,
    StoredHead,
    StoreDown,
    StoreRefused,
)
from config_center.store.memory import MemoryStore
from config_center.store.redis import RedisStore
from tests.config_center.ledger.world import QUICK, center, draft, end
from tests.history import content
from tests.redis_server import Server, running
from tests.until import until


class Stalled(MemoryStore):
    """While ``stalled`` nothing is answered: a commit is lost on its way, a read gives up."""

    stalled = False

    async def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if self.stalled:
            raise OutcomeUnknown("no reply")
        return await super().commit(*args, **kwargs)  # type: ignore[arg-type]

    async def head(self, ns: str) -> StoredHead | None:
        if self.stalled:
            raise StoreDown("no reply")
        return await super().head(ns)


async def test_who_publishes_while_an_outcome_is_unknown_is_refused_and_does_not_wait_for_its_end(
    tmp_path: Path,
) -> None:
    store = Stalled()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.stalled = True
        with pytest.raises(Problem) as unknown:
            await ledger.submit(draft("k", 1))
        assert ledger.readiness()["mode"] == "store-unavailable"

        with pytest.raises(Problem) as refused:
            await asyncio.wait_for(ledger.submit(draft("k", 2)), 30.0)
        store.stalled = False
        await until(lambda: ledger.mode is Mode.READY and not ledger.doubt)
        done = await ledger.submit(draft("k", 3))

    assert unknown.value.name == "outcome-unknown"
    assert refused.value.name == "store-unavailable"
    assert done.result == 1


async def test_a_journal_whose_disk_is_full_is_said_and_nothing_is_sent(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        await ledger.journal.transact(lambda db: db.execute("PRAGMA max_page_count = 1"))

        with pytest.raises(Problem) as full:
            await ledger.submit(draft("k", "x" * 200_000))
        head = (await ledger.store.head("default")).record.c
        assert (full.value.name, head) == ("store-full", ledger.state.c)
        assert "full" in ledger.readiness()["reason"]

        await ledger.journal.transact(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        done = await ledger.submit(draft("k", "x" * 200_000))
        assert ledger.readiness() == {"mode": "ready", "reason": ""}

    assert done.result == 2


class LostCreation(MemoryStore):
    """Carries out a creation and loses the reply, once it is armed."""

    lose = False

    async def create(self, pending: object) -> CommitOutcome:  # type: ignore[override]
        outcome = await super().create(pending)  # type: ignore[arg-type]
        if self.lose:
            self.lose = False
            raise OutcomeUnknown("no reply")
        return outcome


async def test_a_namespace_whose_making_was_cut_off_is_finished(tmp_path: Path) -> None:
    store = LostCreation()
    async with center(tmp_path, store) as registry:
        store.lose = True
        with pytest.raises(OutcomeUnknown):
            await registry.create("team", "alice")

        ledger = await registry.create("team", "alice")

        assert (await ledger.submit(draft("k", 1))).result == 1


async def test_a_namespace_that_another_center_makes_and_ends_comes_and_goes_here(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with (
        center(tmp_path / "a", store, QUICK) as a,
        center(tmp_path / "b", store, QUICK) as b,
    ):
        await a.create("team", "alice")
        await until(lambda: "team" in b.ledgers and b.ledgers["team"].mode is Mode.READY)
        await b.get("team").submit(draft("k", 1))

        await a.end("team", end())
        await until(lambda: "team" not in a.ledgers and "team" not in b.ledgers)

        with pytest.raises(Problem) as taken:
            await b.create("team", "bob")
    assert taken.value.name == "already-exists"


async def test_two_centers_publish_at_once_and_neither_takes_the_other_for_a_forger(
    tmp_path: Path,
) -> None:
    """One never rests; the other gets its turn all the same."""
    with running() as server:
        stores = RedisStore(server.url, Retention()), RedisStore(server.url, Retention())
        async with (
            center(tmp_path / "a", stores[0], QUICK) as a,
            center(tmp_path / "b", stores[1], QUICK) as b,
        ):
            done, modes = asyncio.Event(), set()

            async def never_rests() -> int:
                count = 0
                while not done.is_set():
                    await a.get("default").submit(draft("a", count))
                    count += 1
                return count

            async def wants_twenty() -> None:
                for count in range(20):
                    await b.get("default").submit(draft("b", count))
                    modes.add(b.get("default").mode)
                done.set()

            *ours, _ = await asyncio.gather(never_rests(), never_rests(), wants_twenty())

            state = b.get("default").state
            await until(lambda: a.get("default").state.digest == b.get("default").state.digest)
        for store in stores:
            await store.close()

    assert modes == {Mode.READY}
    assert min(ours) > 0
    assert state.entries["b"].latest == 20


class Loser(MemoryStore):
    """Refuses one commit, once it is armed."""

    armed = False

    async def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if self.armed:
            self.armed = False
            raise StoreRefused("not now")
        return await super().commit(*args, **kwargs)  # type: ignore[arg-type]


async def test_nobody_is_told_of_a_conflict_with_a_change_that_was_not_committed(
    tmp_path: Path,
) -> None:
    """Two wait together; the second was refused because of the first, which then failed."""
    store = Loser()

    def only_first(state: NamespaceState) -> Planned:
        if "k" in state.entries:
            raise Problem("version-conflict", "somebody was first")
        return Planned((Op("k", "set", 1, content("mine")),))

    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.armed = True
        failed, done = await asyncio.gather(
            ledger.submit(draft("k", "lost")),
            ledger.submit(Draft("second", "asked", "bob", only_first)),
            return_exceptions=True,
        )
        held = ledger.state.entries["k"].content

    assert isinstance(failed, Problem)
    assert failed.name == "store-unavailable"
    assert not isinstance(done, BaseException), done
    assert held == content("mine")


def _ids(server: Server) -> set[bytes]:
    with synchronous.Redis.from_url(server.url) as raw:
        return set(raw.hkeys("cc:{default}:ids"))


async def test_a_change_counts_once_as_many_replicas_have_it_as_are_asked_for(
    tmp_path: Path,
) -> None:
    port = free_port()
    with running(None, "--port", str(port), "--repl-diskless-sync-delay", "0") as master:
        store = RedisStore(master.url, Retention(), replicas=1, wait=1.0)
        async with center(tmp_path, store) as registry:
            ledger = registry.get("default")
            with pytest.raises(Problem) as alone:
                await ledger.submit(draft("k", 1, "one"))
            await until(lambda: not ledger.doubt)
            assert await ledger.find("one") is not None
            assert not await store.is_replicated("default")

            with running(None, "--replicaof", "127.0.0.1", str(port)):
                async with asyncio.timeout(20):
                    while not await store.is_replicated("default"):
                        pass
                store._wait = 30.0
                again = await ledger.submit(draft("k", 1, "one"))
                done = await ledger.submit(draft("k", 2, "two"))
            # Without a replica it waits; a master that is demoted meanwhile ends the wait.
            raw = redis.Redis.from_url(master.url)
            writing = asyncio.create_task(ledger.submit(draft("k", 3, "three")))
            await until(lambda: b"three" in _ids(master))
            await raw.replicaof("127.0.0.1", 1)
            with pytest.raises(Problem) as demoted:
                await writing
            await raw.aclose()
        await store.close()

    assert (alone.value.name, demoted.value.name) == ("outcome-unknown", "outcome-unknown")
    assert (again.replayed, done.result) == (True, 2)


class Vanishing(MemoryStore):
    """Emptied between the reading of its head and that of the rest."""

    vanishes = False

    async def read_image(self, ns: str) -> Image | None:
        if self.vanishes:
            self.spaces.pop(ns, None)
            return None
        return await super().read_image(ns)


async def test_a_store_that_is_emptied_while_it_is_read_is_away_and_then_empty(
    tmp_path: Path,
) -> None:
    """Not tampered with: nothing that it held was false."""
    store = Vanishing()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        store.vanishes = True

        async with ledger.lock:
            ledger.set_mode(Mode.TAMPERED)  # in which all of it is read
            await ledger.refresh()
            first = ledger.mode
            await ledger.refresh()

            assert (first, ledger.mode) == (Mode.UNREACHABLE, Mode.EMPTY)
