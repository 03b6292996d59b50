"""Every store keeps the same promises."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from client_sdk.errors import SettingInvalid
from client_sdk.records import Position
from client_sdk.steps import Mark
from client_sdk.transports.keyspace import Keyspace
from config_center.checks import Facts, Level, judge
from config_center.ledger.proof import mark_of
from config_center.store import open_store
from config_center.store.base import (
    Beaten,
    Committed,
    Conflict,
    Duplicate,
    Empty,
    NewHistory,
    Pending,
    Retention,
    Store,
    StoreDown,
)
from config_center.store.memory import MemoryStore
from config_center.store.redis import RedisStore
from tests.history import TRUST, History, put, verifier
from tests.redis_server import running


@pytest.fixture(params=["memory", "valkey", pytest.param("redis", marks=pytest.mark.redis_server)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    binary = None if request.param == "valkey" else shutil.which("redis-server")
    with running(binary) as server:
        opened = open_store(server.url, Retention())
        await opened.open()
        yield opened
        await opened.close()


def pending(history: History) -> Pending:
    record = history.head
    entries = tuple(history.state.entries[op.key] for op in record.header.ops)
    return Pending(record, entries, history.state)


async def begun(store: Store) -> History:
    history = History()
    assert await store.create(pending(history)) == Committed()
    return history


async def test_two_that_restore_in_the_same_moment_do_not_mix() -> None:
    class Quick(RedisStore):
        """Another center begins to put back, and dies, before our script runs."""

        async def _run(self, keys: Keyspace, name: str, *given: Any, **more: Any) -> list[bytes]:
            with contextlib.suppress(StoreDown):
                await other.restore(pending(history), {}, [])
            return await super()._run(keys, name, *given, **more)

    class Dying(RedisStore):
        async def _run(self, *given: Any, **more: Any) -> list[bytes]:
            raise StoreDown("killed")

    history = History()
    history.add(put("k", 1))
    with running() as server:
        store, other = Quick(server.url), Dying(server.url)
        await store.open()
        await other.open()

        assert await store.restore(pending(history), {}, []) == Committed()
        image = await store.read_image("ns")

        assert image is not None
        assert image.prove("ns", verifier()) == history.state
        await store.close()
        await other.close()


@pytest.mark.parametrize("what", ["emptied", "restarted"])
@pytest.mark.parametrize("before", ["the rows", "the script"])
async def test_what_a_server_lost_while_it_was_made_ready_is_not_put_in_its_place(
    before: str, what: str
) -> None:
    """The script renamed what was there: a head without rows, or rows without bodies and ring."""

    class Unlucky(RedisStore):
        luck = 0

        async def _fill(self, ns: str, name: str, rows: Any) -> None:
            if before == "the rows" and name.endswith(":cur"):
                await self.strike()
            await super()._fill(ns, name, rows)

        async def _run(self, keys: Keyspace, name: str, *given: Any, **more: Any) -> list[bytes]:
            if before == "the script":
                await self.strike()
            return await super()._run(keys, name, *given, **more)

        async def strike(self) -> None:
            self.luck += 1
            if self.luck == 1:
                if what == "restarted":
                    await asyncio.to_thread(server.restart)
                else:
                    await raw.flushall()

    history = History()
    history.add(*(put(f"k{number}", "x" * 20_000) for number in range(3)))
    with running() as server:
        store, raw = Unlucky(server.url), redis.Redis.from_url(server.url)
        await store.open()

        with pytest.raises(StoreDown):
            await store.restore(pending(history), {"dek": "kek:AAAA"}, [])
        assert not await raw.exists("cc:{ns}:head")
        assert await store.restore(pending(history), {"dek": "kek:AAAA"}, []) == Committed()

        image = await store.read_image("ns")
        assert image is not None
        assert (image.missing(), image.ring) == (set(), {"dek": "kek:AAAA"})
        assert image.prove("ns", verifier()) == history.state
        assert await raw.keys("cc:{ns}:new:*") == []
        await raw.aclose()
        await store.close()


@pytest.mark.parametrize(
    "program", ["valkey", pytest.param("redis", marks=pytest.mark.redis_server)]
)
async def test_what_a_center_that_was_killed_made_ready_goes_after_a_while(program: str) -> None:
    class Dying(RedisStore):
        async def _run(self, *given: Any, **more: Any) -> list[bytes]:
            raise StoreDown("killed")

    history = History()
    history.add(put("k", 1))
    with running(None if program == "valkey" else shutil.which("redis-server")) as server:
        store, raw = Dying(server.url), redis.Redis.from_url(server.url)
        await store.open()
        with pytest.raises(StoreDown):
            await store.restore(pending(history), {}, [])
        left = await raw.keys("cc:{ns}:new:*")

        assert len(left) == 2
        assert await store.remove_unfinished("ns", 3600) == 0  # somebody may be at it
        assert await store.remove_unfinished("other", 0) == 0
        assert sorted(await raw.keys("*")) == sorted(left)
        assert await store.remove_unfinished("ns", 0) == 2
        assert await raw.keys("*") == []
        await raw.aclose()
        await store.close()


async def test_a_namespace_begins_once(store: Store) -> None:
    history = await begun(store)

    assert await store.create(pending(history)) == Conflict()
    assert (await store.head("ns")).record.c == history.head.c
    assert (await store.head("ns")).rid_matches
    assert await store.head("other") is None


async def test_a_commit_appears_in_head_log_and_image_together(store: Store) -> None:
    history = await begun(store)
    before = mark_of(history.head)
    record = history.add(put("prompt", "hello"), put("big", "x" * 20_000))

    assert await store.commit("ns", before, [pending(history)]) == Committed()

    image = await store.read_image("ns")
    assert (await store.head("ns")).record.c == record.c
    assert {entry.key: entry for entry in image.entries} == dict(history.state.entries)
    assert image.missing() == set()
    assert await store.read_log("ns", before.position) == [record]


async def test_a_commit_on_another_head_changes_nothing(store: Store) -> None:
    history = await begun(store)
    before = mark_of(history.head)
    record = history.add(put("prompt", "hello"))
    wrong = Mark(before.position, b"\1" * 32)

    assert await store.commit("ns", wrong, [pending(history)]) == Conflict()
    assert (await store.head("ns")).record.c != record.c


async def test_the_same_id_is_a_duplicate_before_it_is_a_conflict(store: Store) -> None:
    history = await begun(store)
    before = mark_of(history.head)
    history.add(put("prompt", "hello"), change="same")
    await store.commit("ns", before, [pending(history)])

    assert await store.commit("ns", before, [pending(history)]) == Duplicate("same")


async def test_a_publish_never_creates(store: Store) -> None:
    history = History()
    history.add(put("prompt", "hello"))

    assert await store.commit("ns", Mark(), [pending(history)]) == Empty()
    assert await store.beat("ns", bytes(32), "center", b"frame", 1.0) == Empty()


async def test_many_records_are_one_commit(store: Store) -> None:
    history = await begun(store)
    before = mark_of(history.head)
    pendings = []
    for i in range(50):
        history.add(put("k", i, i + 1))
        pendings.append(pending(history))

    assert await store.commit("ns", before, pendings) == Committed()
    log = await store.read_log("ns", Position(1, 1))
    assert [record.position.v for record in log] == list(range(2, 52))


async def test_adoption_needs_a_larger_epoch(store: Store) -> None:
    history = await begun(store)
    before = mark_of(history.head)
    same = History()
    same.add(kind="adopt")

    assert await store.commit("ns", before, [pending(same)], adopt=True) == Conflict()
    history.add(kind="adopt", epoch=7)
    assert await store.commit("ns", before, [pending(history)], adopt=True) == Committed()


async def test_one_center_at_a_time_beats_for_all(store: Store) -> None:
    history = await begun(store)
    c = history.head.c

    first = await store.beat("ns", c, "center-a", b"frame", 1.0)
    second = await store.beat("ns", c, "center-b", b"frame", 1.0)

    assert (first, second) == (Beaten(leader=True), Beaten(leader=False))
    assert await store.beat("ns", b"\1" * 32, "center-a", b"frame", 1.0) == Conflict()


async def test_a_ring_entry_is_exchanged_only_while_it_is_what_was_read(store: Store) -> None:
    await begun(store)
    await store.write_ring("ns", {"a": "old:A", "b": "old:B", "c": "old:C"})
    await store.drop_ring("ns", ["c", "unknown"])

    exchanged = {name: (f"old:{name.upper()}", f"new:{name.upper()}") for name in ("a", "c")}
    assert await store.rewrap_ring("ns", {**exchanged, "b": ("other", "new:B")}) == 1
    assert await store.read_ring("ns") == {"a": "new:A", "b": "old:B"}


async def test_a_ring_entry_is_never_overwritten(store: Store) -> None:
    await begun(store)
    await store.write_ring("ns", {"fp": "kek:AAAA"})
    await store.write_ring("ns", {"fp": "kek:BBBB", "dek": "kek:CCCC"})
    await store.write_trust("ns", TRUST.encode())

    image = await store.read_image("ns")

    assert image.ring == {"fp": "kek:AAAA", "dek": "kek:CCCC"}
    assert await store.read_reports("ns", {}) == ([], {})
    assert await store.remove_bodies("ns", [], 0) == 0


@pytest.mark.parametrize(
    "program", ["valkey", pytest.param("redis", marks=pytest.mark.redis_server)]
)
async def test_a_large_body_goes_only_when_nobody_touched_it_for_a_while(program: str) -> None:
    """A publish writes its bodies anew before it names them: that alone keeps them from going."""
    binary = None if program == "valkey" else shutil.which("redis-server")
    with running(binary) as server:
        store = open_store(server.url, Retention())
        history = await begun(store)
        before = mark_of(history.head)
        record = history.add(put("k", "x" * 20_000))
        await store.commit("ns", before, [pending(history)])
        (sha,) = record.bodies
        raw = redis.Redis.from_url(server.url)
        names = [f"cc:{{ns}}:obj:{name * 64}" for name in "ab"]
        for name in names:
            await raw.set(name, "left behind")
        for name in (f"cc:{{ns}}:obj:{sha}", *names):  # nobody touched them for two hours
            await raw.restore(name, 0, await raw.dump(name), replace=True, idletime=7200)
        assert min((await store.idle_bodies("ns")).values()) >= 7200
        await raw.mset({names[1]: "left behind"})
        everything = [sha, "a" * 64, "b" * 64]

        assert sorted(await store.idle_bodies("ns")) == sorted(everything)
        assert await store.remove_bodies("ns", everything, 3 * 3600) == 0
        assert await store.remove_bodies("ns", ["a" * 64, "b" * 64], 3600) == 1
        assert sorted(await store.idle_bodies("ns")) == sorted([sha, "b" * 64])
        assert await store.idle_bodies("other") == {}
        await raw.aclose()
        await store.close()


async def test_a_restarted_server_has_a_new_history() -> None:
    with running() as server:
        store = open_store(server.url, Retention())
        history = await begun(store)
        before = mark_of(history.head)
        await asyncio.to_thread(server.restart)  # the loop hears of the end meanwhile
        history.add(put("k", 1))

        assert await store.commit("ns", before, [pending(history)]) == NewHistory()
        assert not (await store.head("ns")).rid_matches
        await store.close()


async def test_a_server_that_is_away_is_down_and_nothing_was_sent() -> None:
    with running() as server:
        store = open_store(server.url, Retention())
        history = await begun(store)
        before = mark_of(history.head)
        history.add(put("k", 1))
        await asyncio.to_thread(server.kill)  # the loop hears of the end meanwhile

        with pytest.raises(StoreDown):
            await store.commit("ns", before, [pending(history)])
        with pytest.raises(StoreDown):
            await store.open()
        await store.close()


async def test_the_log_is_trimmed_but_never_below_its_promise() -> None:
    with running() as server:
        store = open_store(server.url, Retention(records=10, seconds=0))
        history = await begun(store)
        for i in range(40):
            before = mark_of(history.head)
            history.add(put("k", i, i + 1))
            await store.commit("ns", before, [pending(history)])

        log = await store.read_log("ns", Position(1, 35))

        assert [record.position.v for record in log] == list(range(36, 42))
        assert await store.read_log("ns", Position(1, 2)) is None
        await store.close()


async def test_a_server_unfit_for_configuration_is_told() -> None:
    with running() as server:
        store = open_store(server.url, Retention())
        good = judge(Facts(store=await store.facts()))
        assert {check.level for check in good} == {Level.OK}
        assert {check.subject for check in good} >= {"server", "rights", "durability", "clock"}
        raw = redis.Redis.from_url(server.url)
        await raw.config_set("maxmemory-policy", "allkeys-lru")
        await raw.aclose()

        checks = judge(Facts(store=await store.facts()))

        (bad,) = [check for check in checks if check.level is not Level.OK]
        assert "allkeys-lru" in bad.sentence
        assert "noeviction" in bad.mend
        await store.close()


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingInvalid, match="redis"):
        open_store("mongodb://x", Retention())
