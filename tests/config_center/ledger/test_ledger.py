from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import redis.asyncio as redis

from client_sdk.records import Beat, Position
from config_center.ledger.ledger import Ledger
from config_center.ledger.words import Draft, Mode, Planned
from config_center.problems import Problem
from config_center.store.base import OutcomeUnknown, Retention, StoreDown
from config_center.store.memory import MemoryStore
from config_center.store.redis import RedisStore
from tests.config_center.ledger.world import QUICK, center, draft, end
from tests.redis_server import running

WITHIN = 30.0


async def until(condition: object) -> None:
    """Wait for a condition that something else brings about."""
    async with asyncio.timeout(WITHIN):
        while not condition():  # type: ignore[operator]
            await asyncio.to_thread(threading.Event().wait, 0.005)


async def test_a_change_is_in_state_journal_and_store(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")

        done = await ledger.submit(draft("prompt", "hello"))

        assert (done.position, done.result) == (Position(1, 2), 1)
        assert ledger.state.entries["prompt"].content.body == b'"hello"'
        assert (await ledger.journal.newest("default")).c == done.c
        assert (await ledger.store.head("default")).record.c == done.c


async def test_the_same_change_twice_takes_effect_once(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")

        first = await ledger.submit(draft("prompt", "hello", "same"))
        again = await ledger.submit(draft("prompt", "hello", "same"))

        assert again.position == first.position
        assert again.replayed
        assert ledger.state.position == first.position


async def test_the_same_id_for_another_request_is_refused(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("prompt", "hello", "same"))

        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("prompt", "other", "same", asked="something else"))

        assert refused.value.name == "id-reused"


async def test_many_at_once_form_one_line_and_each_gets_its_own_version(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")

        done = await asyncio.gather(*(ledger.submit(draft("k", i)) for i in range(100)))

        assert sorted(d.result for d in done) == list(range(1, 101))
        assert ledger.state.position == Position(1, 101)
        assert len(await ledger.journal.versions("default", "k")) == 100


async def test_the_same_change_twice_in_one_batch_takes_effect_once(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")

        done = await asyncio.gather(*(ledger.submit(draft("k", 1, "same")) for _ in range(5)))

        assert {d.position for d in done} == {Position(1, 2)}


async def test_a_plan_that_refuses_harms_nobody_beside_it(tmp_path: Path) -> None:
    def refuse(_: object) -> Planned:
        raise Problem("version-moved", "it moved")

    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        results = await asyncio.gather(
            ledger.submit(draft("a", 1)),
            ledger.submit(Draft("id", "asked", "tester", refuse)),
            ledger.submit(draft("b", 1)),
            return_exceptions=True,
        )

        assert isinstance(results[1], Problem)
        assert ledger.state.keys() == ["a", "b"]


async def test_watchers_hear_a_change_after_it_is_journaled(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        with ledger.watch() as watcher:
            done = await ledger.submit(draft("prompt", "hello"))

            assert (await anext(watcher)).c == done.c
        assert len(ledger.watchers) == 0


async def test_a_watcher_that_does_not_read_is_cut_off_with_a_reason(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        watcher = ledger.watch()
        await asyncio.gather(*(ledger.submit(draft("k", i)) for i in range(900)))
        await asyncio.gather(*(ledger.submit(draft("k", i)) for i in range(200)))

        heard = [message async for message in watcher]

        assert len(heard) == 1000
        assert "resume" in watcher.reason


async def test_history_after_a_position_comes_from_memory_or_from_the_journal(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        for i in range(3):
            await registry.get("default").submit(draft("k", i))
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")

        records = await ledger.since(Position(1, 2))

        assert [r.position for r in records] == [Position(1, 3), Position(1, 4)]
        assert [set(r.bodies.values()) for r in records] == [{b"1"}, {b"2"}]
        assert await ledger.since(Position(9, 9)) is None
        assert await ledger.since(ledger.state.position) == []


async def test_a_restarted_store_is_adopted_under_a_larger_epoch(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        await registry.get("default").submit(draft("prompt", "hello"))
        before = registry.get("default").state
    store.restart()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")

        assert ledger.mode is Mode.READY
        assert ledger.head.header.type == "adopt"
        assert ledger.state.position.e > before.position.e
        assert ledger.state.position.v == before.position.v + 1
        assert ledger.state.digest == before.digest


async def test_what_a_store_lost_is_brought_back_once_under_the_new_epoch(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("prompt", "kept"))
        space = store.spaces["default"]
        saved = (space.head, dict(space.log), dict(space.rows), set(space.ids))
        await ledger.submit(draft("prompt", "lost", "change-2"))
    space.head, space.log, space.rows, space.ids = saved
    store.restart()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")

        assert ledger.state.entries["prompt"].content.body == b'"lost"'
        assert ledger.head.header.origin[:2] == (1, 3)
        again = await ledger.submit(draft("prompt", "lost", "change-2"))
        assert again.replayed
        versions = await ledger.journal.versions("default", "prompt")
        assert [v.content.version for v in versions] == [1, 2]


async def test_a_restart_while_publishing_is_adopted_and_the_change_goes_through(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.restart()

        done = await ledger.submit(draft("prompt", "hello"))

        assert done.position.e > 1
        assert ledger.state.entries["prompt"].content.body == b'"hello"'


async def test_an_empty_store_is_an_error_and_never_a_new_beginning(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        await registry.get("default").submit(draft("prompt", "hello"))
    async with center(tmp_path, MemoryStore()) as registry:
        ledger = registry.get("default")

        assert ledger.mode is Mode.EMPTY
        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("prompt", "other"))
        assert refused.value.name == "store-empty"


async def test_a_flushed_store_is_noticed_by_the_next_beat(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store, QUICK) as registry:
        ledger = registry.get("default")
        store.spaces.clear()

        await until(lambda: ledger.mode is Mode.EMPTY)


async def test_beats_are_signed_and_name_the_head(tmp_path: Path) -> None:
    async with center(tmp_path, rhythm=QUICK) as registry:
        ledger = registry.get("default")
        with ledger.watch() as watcher:
            beat = await asyncio.wait_for(anext(watcher), WITHIN)

        assert isinstance(beat, Beat)
        assert beat.verify(ledger.verifier)
        assert (beat.position, beat.c) == (ledger.state.position, ledger.state.c)


class LostReply(MemoryStore):
    """Carries out a commit and loses the reply, once."""

    lose = False

    async def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        outcome = await super().commit(*args, **kwargs)  # type: ignore[arg-type]
        if self.lose:
            self.lose = False
            raise OutcomeUnknown("the reply was lost")
        return outcome


async def test_a_lost_reply_is_unknown_and_a_retry_with_the_same_id_finds_it(
    tmp_path: Path,
) -> None:
    store = LostReply()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.lose = True
        with pytest.raises(Problem) as unknown:
            await ledger.submit(draft("prompt", "hello", "c1"))

        again = await ledger.submit(draft("prompt", "hello", "c1"))

        assert unknown.value.name == "outcome-unknown"
        assert unknown.value.members["change"] == "c1"
        assert again.replayed
        assert len(await ledger.journal.versions("default", "prompt")) == 1


class Down(MemoryStore):
    """Cannot be reached while ``down``."""

    down = False

    async def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if self.down:
            raise StoreDown("connection refused")
        return await super().commit(*args, **kwargs)  # type: ignore[arg-type]


async def test_a_store_that_is_away_refuses_and_nothing_is_half_done(tmp_path: Path) -> None:
    store = Down()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.down = True
        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("prompt", "hello", "c1"))
        store.down = False

        done = await ledger.submit(draft("prompt", "hello", "c1"))

        assert refused.value.name == "store-unavailable"
        assert not done.replayed
        assert done.position == Position(1, 2)


async def test_another_center_on_the_same_store_builds_on_what_the_first_did(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a, center(tmp_path / "b", store) as b:
        first = await a.get("default").submit(draft("k", 1))
        second = await b.get("default").submit(draft("k", 2))
        third = await a.get("default").submit(draft("k", 3))

        assert [d.result for d in (first, second, third)] == [1, 2, 3]
        assert a.get("default").state.position == Position(1, 4)


async def test_a_planted_id_freezes_instead_of_answering_yes(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        store.spaces["default"].ids.add("planted")

        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("prompt", "hello", "planted"))

        assert refused.value.name == "tampered"


@pytest.mark.parametrize("what", ["row", "foreign row", "head", "log", "removed"])
async def test_any_row_edited_by_hand_is_said_and_nothing_is_built_on_it(
    tmp_path: Path, what: str
) -> None:
    with running() as server:
        store = RedisStore(server.url, Retention())
        raw = redis.Redis.from_url(server.url)
        async with center(tmp_path, store, QUICK) as registry:
            ledger = registry.get("default")
            await ledger.submit(draft("prompt", "hello"))
            await ledger.submit(draft("other", "thing"))
            cur, log, head = (f"cc:{{default}}:{part}" for part in ("cur", "log", "head"))
            if what == "row":
                row = await raw.hget(cur, "prompt")
                await raw.hset(cur, "prompt", row.replace(b"hello", b"evil!"))
            elif what == "foreign row":
                await raw.hset(cur, "prompt", await raw.hget(cur, "other"))
            elif what == "removed":
                await raw.hdel(cur, "prompt")
            elif what == "head":
                rec = await raw.hget(head, "rec")
                await raw.hset(head, "rec", rec.replace(b"tester", b"TESTER"))
            else:
                (row_id, fields), *_ = await raw.xrevrange(log, count=1)
                await raw.xdel(log, row_id)
                await raw.xadd("tmp", {"r": fields[b"r"].replace(b"thing", b"THING"), "t": 1})
                await raw.copy("tmp", log, replace=True)

            await until(lambda: ledger.mode is Mode.TAMPERED)

            with pytest.raises(Problem) as refused:
                await ledger.submit(draft("prompt", "more"))
            assert refused.value.name == "tampered"
        await raw.aclose()
        await store.close()


async def test_a_store_that_was_put_right_is_trusted_again(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store, QUICK) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("prompt", "hello"))
        rows = store.spaces["default"].rows
        good = rows["prompt"]
        rows["prompt"] = good.replace(b"hello", b"evil!")
        await until(lambda: ledger.mode is Mode.TAMPERED)

        rows["prompt"] = good

        await until(lambda: ledger.mode is Mode.READY)


async def test_kill_9_of_the_store_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with running() as server:
        store = RedisStore(server.url, Retention())
        async with center(tmp_path, store, QUICK) as registry:
            ledger = registry.get("default")
            for i in range(5):
                await ledger.submit(draft("k", i))
            server.restart()
            await until(lambda: ledger.state.position.e > 1)

            done = await ledger.submit(draft("k", 5))

            assert done.result == 6
            versions = await ledger.journal.versions("default", "k")
            assert [v.content.version for v in versions] == [1, 2, 3, 4, 5, 6]
        await store.close()


async def test_large_bodies_survive_store_and_journal(tmp_path: Path) -> None:
    with running() as server:
        store = RedisStore(server.url, Retention())
        async with center(tmp_path, store) as registry:
            await registry.get("default").submit(draft("big", "x" * 100_000))
        await store.close()
        store = RedisStore(server.url, Retention())
        async with center(tmp_path / "other", store) as registry:
            ledger = registry.get("default")

            assert len(ledger.state.entries["big"].content.body) == 100_002
            records = await store.read_log("default", Position(1, 1))
            assert len(records[0].bodies) == 1
        await store.close()


async def test_a_namespace_is_made_once_and_its_name_is_never_used_again(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        made = await registry.create("prod", "alice")
        await made.submit(draft("k", 1))
        with pytest.raises(Problem) as taken:
            await registry.create("prod", "alice")
        await registry.end("prod", end())

        with pytest.raises(Problem) as gone:
            registry.get("prod")
        with pytest.raises(Problem) as never:
            await registry.create("prod", "alice")

        assert [p.value.name for p in (taken, gone, never)] == [
            "already-exists",
            "not-found",
            "already-exists",
        ]


async def test_a_namespace_whose_taking_up_failed_half_way_is_taken_up_again(
    tmp_path: Path,
) -> None:
    """Another center made it; the store was away for the moment in which we opened it."""

    class Hiccup(MemoryStore):
        written = 0

        async def write_trust(self, ns: str, document: bytes) -> None:
            self.written += ns == "made-by-b"
            if ns == "made-by-b" and self.written == 2:  # its maker's was the first
                raise StoreDown("away for a moment")
            await super().write_trust(ns, document)

    store, opened = Hiccup(), asyncio.Event()

    async def open_it(_: Ledger) -> None:
        opened.set()

    async with center(tmp_path / "a", store, QUICK) as a:
        a.on_attached = open_it
        async with center(tmp_path / "b", store) as b:
            await b.create("made-by-b", "tester")
            async with asyncio.timeout(WITHIN):
                await opened.wait()

        assert store.written >= 3
        assert a.get("made-by-b").mode is Mode.READY


async def test_the_writer_of_a_closed_ledger_refuses_who_waits(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        async with ledger.lock:
            waiting = asyncio.create_task(ledger.submit(draft("k", 1)))
            await asyncio.sleep(0)
            await registry.close()

        with pytest.raises(Problem):
            await waiting
