"""What goes from the journal and what never does, and that all that needs history works without."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio as redis

from client_sdk.contents import Op, Rollout
from client_sdk.records import START, Position
from client_sdk.state import NamespaceState
from config_center import journal_base
from config_center.journal import JournalDown
from config_center.ledger.ledger import Ledger
from config_center.ledger.pruning import Pruner
from config_center.ledger.registry import Registry
from config_center.ledger.words import Draft, Mode, Planned
from config_center.problems import Problem
from config_center.retention import DAY_MS, Keep
from config_center.store.base import Retention, StoredHead, StoreDown
from config_center.store.memory import MemoryStore
from config_center.store.redis import RedisStore
from tests.config_center.ledger.test_recovery import fail_over, saved, trim, values
from tests.config_center.ledger.world import STILL, center, draft, end
from tests.history import content
from tests.redis_server import running
from tests.until import until

LATER = 10**9 * 10**4  # milliseconds: everything is old by then
KEEP = Keep(rows=5, versions=2)


def pruner(registry: Registry, keep: Keep = KEEP, now: int = LATER) -> Pruner:
    return Pruner(registry.journal, registry.verifier, keep, lambda: now)


async def publish(ledger: Ledger, count: int, key: str = "k") -> None:
    for number in range(count):
        await ledger.submit(draft(key, f"{key}{number}", f"{key}-{number}"))


async def rows_of(ledger: Ledger) -> list[int]:
    return [header.v for header in await ledger.journal.headers(ledger.ns)]


async def test_who_asks_for_what_went_hears_that_it_is_gone(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        await pruner(registry).prune(ledger)
        ledger.recent.clear()

        assert await ledger.since(START) is None
        (oldest, *_) = await rows_of(ledger)
        rest = await ledger.since(Position(ledger.state.position.e, oldest))
        assert rest is not None
        assert rest[-1].position == ledger.state.position


async def test_old_rows_go_and_a_base_stands_in_their_place(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)  # revisions 2 to 21
        await pruner(registry).prune(ledger)
        image = await ledger.journal.base_image("default")

        assert image is not None
        assert image.head.position.v == 16
        assert await rows_of(ledger) == [16, 17, 18, 19, 20, 21]
        assert image.proven("default", ledger.verifier).state.entries["k"].content.body == b'"k14"'
        await pruner(registry).prune(ledger)  # and once is enough
        assert await rows_of(ledger) == [16, 17, 18, 19, 20, 21]
        await ledger.submit(draft("k", "on"))


async def test_what_is_young_or_among_the_newest_stays(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        before = await rows_of(ledger)

        await pruner(registry, Keep(rows=5), now=LATER // 10**4).prune(ledger)
        await pruner(registry, Keep(rows=100)).prune(ledger)
        ledger.set_mode(Mode.UNREACHABLE, "the store is away")
        await pruner(registry).prune(ledger)

        assert await rows_of(ledger) == before


async def test_a_restart_beside_an_empty_store_goes_on_from_base_and_rows(tmp_path: Path) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        await publish(ledger, 2, "other")
        await store.write_ring("default", {"dek": "kek:AAAA"})
        await ledger.submit(draft("s", '"dek"'))
        await ledger.journal.seen("default", [], {"dek": "kek:AAAA"})
        await pruner(registry).prune(ledger)
        await pruner(registry).prune(registry.system)
        whole = ledger.state
    store.spaces = {}
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")

        assert ledger.mode is Mode.EMPTY
        assert (ledger.state.digest, ledger.head.c) == (whole.digest, whole.c)
        assert values(ledger) == {"k": b'"k19"', "other": b'"other1"', "s": b'"\\"dek\\""'}
        assert ledger.ring == {"dek": "kek:AAAA"}


@pytest.mark.parametrize("rows", [0, 5, 19])
async def test_what_the_store_lost_comes_back_from_a_pruned_journal(
    tmp_path: Path, rows: int
) -> None:
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        replica = saved(store)
        lost = await ledger.submit(draft("k", "lost", "lost"))
        await pruner(registry, replace(KEEP, rows=max(2, rows))).prune(ledger)
        fail_over(store, replica)

        await ledger.submit(draft("k", "on"))

        again = await ledger.find("lost")
        assert again is not None
        assert again.header.origin == (*lost.position, lost.c.hex())
        assert values(ledger) == {"k": b'"on"'}
    async with center(tmp_path, store) as registry:
        assert registry.get("default").mode is Mode.READY


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_store_from_before_the_base_is_refused_until_it_is_restored(
    tmp_path: Path, restarted: bool
) -> None:
    """Its changes could only be taken for ours, and ours for lost: nothing is built on it."""
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await publish(ledger, 3)
        ancient = saved(store)
        await publish(ledger, 20)
        await pruner(registry).prune(ledger)
        fail_over(store, ancient)
        if not restarted:
            with pytest.raises(Problem) as refused:
                await ledger.submit(draft("k", "on"))
            assert refused.value.name == "history-incomplete"
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        orphans = await ledger.journal.orphans("default")

        assert ledger.mode is Mode.INCOMPLETE
        assert "stands at 1-4" in ledger.reason
        assert "journal begins at 1-16" in ledger.reason
        assert (orphans, values(ledger)) == ([], {"k": b'"k19"'})  # readers are served
        assert (await store.head("default")).record.position == (1, 4)


async def test_a_line_that_parted_before_the_base_makes_orphans_of_all_that_is_kept(
    tmp_path: Path,
) -> None:
    """B, without our journal, went on from an ancient copy; a fresh journal must not forget us."""
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a:
        await publish(a.get("default"), 3)
        ancient = saved(store)
        await publish(a.get("default"), 10)
        await pruner(a).prune(a.get("default"))
    fail_over(store, ancient)
    async with center(tmp_path / "b", store) as b:
        await publish(b.get("default"), 3, "theirs")
    async with center(tmp_path / "a", store) as a:
        ledger = a.get("default")
        told = [row.header.id for row in await ledger.journal.orphans("default")]

        assert told == ["k-5", "k-6", "k-7", "k-8", "k-9"]
        assert values(ledger)["theirs"] == b'"theirs2"'


async def test_a_hole_is_bridged_by_a_base_planted_from_what_was_verified(tmp_path: Path) -> None:
    """Such a journal could not be restored from at all before."""
    store = MemoryStore()
    async with center(tmp_path / "a", store) as a:
        await publish(a.get("default"), 1)
    async with center(tmp_path / "b", store) as b:
        await publish(b.get("default"), 300, "other")
        await publish(b.get("default"), 300, "third")
    trim(store)
    async with center(tmp_path / "a", store) as a:
        ledger = a.get("default")
        await publish(ledger, 3, "mine")
        await pruner(a, Keep()).prune(ledger)
        await ledger.submit(draft("last", 1))
        state = ledger.state
        whole = await ledger.journal.transact(lambda db: journal_base.damage(db, "default"))
        assert whole is None
    store.spaces = {}
    async with center(tmp_path / "a", store) as a:
        ledger = a.get("default")

        assert ledger.state.digest == state.digest
        assert values(ledger)["third"] == b'"third299"'
        shas = {c.sha256 for e in ledger.state.entries.values() for c in e.contents}
        assert all([await ledger.journal.body("default", sha) for sha in shas])


# -- versions ---------------------------------------------------------------------------------


async def numbers(ledger: Ledger, key: str = "k") -> list[int]:
    return [v.content.version for v in await ledger.journal.versions("default", key)]


async def bodies(ledger: Ledger) -> int:
    return await ledger.journal.transact(
        lambda db: db.execute("SELECT count(*) FROM bodies").fetchone()[0]
    )


async def test_versions_go_with_their_bodies_but_never_the_newest_or_those_rows_still_name(
    tmp_path: Path,
) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        before = await bodies(ledger)
        await pruner(registry, Keep(rows=5, versions=2, version_ms=10**15)).prune(ledger)
        assert await numbers(ledger) == list(range(1, 21))  # rows went, versions are kept
        assert len(await ledger.journal.past_headers("default")) == 14
        await pruner(registry).prune(ledger)

        kept = await numbers(ledger)
        at = await ledger.journal.pruned_until("default", "k", 3)

        assert kept == [15, 16, 17, 18, 19, 20]
        assert await bodies(ledger) == before - 14
        assert at == LATER
        assert await ledger.journal.pruned_until("default", "k", 15) is None
        assert await ledger.find("k-2") is None
        assert await ledger.find("k-14") is not None
        assert await ledger.journal.past_headers("default") == []


async def test_what_a_canary_and_a_way_back_need_is_kept(tmp_path: Path) -> None:
    def begin(state: NamespaceState) -> Planned:
        entry = state.entries["k"]
        canary = content("canary", entry.latest + 1)
        rollout = Rollout("ro", 10, "device", "salt", ("k",), canary)
        return Planned((Op("k", "set", canary.version, entry.content, rollout),))

    def promote(state: NamespaceState) -> Planned:
        entry = state.entries["k"]
        return Planned((Op("k", "rollout", entry.latest, entry.rollout.content),))

    def asked(plan: Callable[[NamespaceState], Planned]) -> Draft:
        return Draft(secrets.token_hex(8), "asked", "tester", plan)

    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 5)
        await ledger.submit(asked(begin))
        await ledger.submit(asked(promote))  # version 6 is stable by a row that brought nothing
        await ledger.submit(asked(begin))  # 7 waits
        await publish(ledger, 10, "noise")
        await pruner(registry, Keep(rows=2, versions=1)).prune(ledger)

        assert await numbers(ledger) == [5, 6, 7]
        assert await ledger.journal.stable_before("default", "k", None) == 6
        assert await ledger.journal.stable_before("default", "k", 6) == 5


async def test_orphans_stay_and_what_never_was_history_goes(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 3)
        orphan = (await ledger.journal.above("default", START))[1]
        await ledger.journal.mark([orphan.c], "orphan")
        before = await bodies(ledger)
        rival = replace(orphan, c=b"r" * 32)
        await ledger.journal.intend("default", [rival])
        await ledger.journal.mark([rival.c], "refused")
        above = replace(ledger.head, c=b"a" * 32)
        await ledger.journal.intend("default", [above])
        keep = Keep(rows=100)

        await pruner(registry, keep, now=LATER // 10**4).prune(ledger)
        assert await ledger.journal.holds("default", rival.c)
        await pruner(registry, keep).prune(ledger)

        assert not await ledger.journal.holds("default", rival.c)
        assert await ledger.journal.holds("default", above.c)  # at the head: it may yet be seen
        (told,) = await ledger.journal.orphans("default")
        assert told.bodies
        assert await bodies(ledger) == before


async def test_what_the_base_serves_outlives_its_version(tmp_path: Path) -> None:
    """The base stands where an older version was current: its body is needed to begin there."""
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await publish(ledger, 3, "other")
        await publish(ledger, 10)
        for number in range(3):
            await ledger.submit(draft("other", f"new {number}"))
        await pruner(registry, Keep(rows=5, versions=1)).prune(ledger)
        state = ledger.state
        assert await numbers(ledger, "other") == [4, 5, 6]
        base = await ledger.journal.base_image("default")
        assert base.missing() == set()
    store.spaces = {}
    async with center(tmp_path, store) as registry:
        assert registry.get("default").state.digest == state.digest


async def test_no_row_above_the_base_ever_goes_whatever_is_asked(tmp_path: Path) -> None:
    async with center(tmp_path) as registry:
        ledger, journal = registry.get("default"), registry.journal
        await publish(ledger, 20)
        far = Position(9, 9)
        gone = partial(journal_base.let_go, ns="default", below=far, limit=100)
        assert await journal.transact(gone) == 0
        await pruner(registry).prune(ledger)
        before = await rows_of(ledger)

        assert await journal.transact(gone) == 0
        assert await rows_of(ledger) == before


async def test_a_base_that_somebody_else_moved_or_that_is_no_history_is_not_moved(
    tmp_path: Path,
) -> None:
    async with center(tmp_path) as registry:
        ledger, journal = registry.get("default"), registry.journal
        await publish(ledger, 5)
        first, second = (await journal.above("default", START))[1:3]
        move = partial(journal_base.advance, ns="default", entries=())

        assert not await journal.transact(partial(move, before=first.c, to=second.c))
        await journal.mark([second.c], "orphan")
        assert not await journal.transact(partial(move, before=None, to=second.c))
        plant = partial(journal_base.plant, ns="default", hole=0)
        assert not await journal.transact(partial(plant, head=second.c))
        assert await journal.transact(partial(move, before=None, to=first.c))
        await journal.mark([first.c], "orphan")
        assert await journal.base("default") is None  # it is void, and planted anew
        await pruner(registry, Keep()).prune(ledger)
        assert (await journal.base("default")).c == ledger.head.c


async def test_a_hole_that_is_found_while_the_base_is_planted_is_bridged_the_next_time(
    tmp_path: Path,
) -> None:
    async with center(tmp_path) as registry:
        ledger, journal = registry.get("default"), registry.journal
        await publish(ledger, 3)
        damage = partial(journal_base.damage, ns="default")
        await journal.hole("default", b"a", b"b")
        first = await journal.transact(damage)
        await journal.hole("default", b"c", b"d")
        plant = partial(journal_base.plant, ns="default", head=ledger.head.c, hole=first)
        assert await journal.transact(plant)

        assert await journal.transact(damage) == first + 1
        await pruner(registry).prune(ledger)
        assert await journal.transact(damage) is None


# -- at any instant ---------------------------------------------------------------------------


async def test_a_kill_after_any_step_leaves_a_journal_that_restores_the_same_state(
    tmp_path: Path,
) -> None:
    """Each round of the loop lets one more transaction through, then drops the task like a kill."""
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await publish(ledger, 120)
        await publish(ledger, 10, "other")
        whole, rows = ledger.state.digest, len(await rows_of(ledger))
    home, spaces, steps = tmp_path / "journal.sqlite3", store.spaces, 0
    while rows > 6:
        steps += 1
        async with center(tmp_path, store) as registry:
            ledger = registry.get("default")
            real, left = registry.journal.transact, steps

            async def killed(work: object, real: object = real) -> object:
                nonlocal left
                if not left:
                    raise asyncio.CancelledError
                left -= 1
                return await real(work)  # type: ignore[operator]

            registry.journal.transact = killed  # type: ignore[method-assign]
            try:
                await pruner(registry).prune(ledger)
            except asyncio.CancelledError:
                pass
            registry.journal.transact = real
            rows = len(await rows_of(ledger))
        store.spaces = {}
        async with center(tmp_path, store) as registry:
            ledger = registry.get("default")
            assert (ledger.state.digest, ledger.mode) == (whole, Mode.EMPTY)
        store.spaces = spaces
    with sqlite3.connect(home) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert steps > 5


async def test_a_journal_that_somebody_edited_is_not_pruned_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with center(tmp_path, rhythm=replace(STILL, prune_every=0.01)) as registry:
        registry.pruner._keep, registry.pruner._clock_ms = Keep(rows=1000), lambda: LATER
        ledger = registry.get("default")
        await publish(ledger, 20)
        await ledger.journal.transact(
            lambda db: db.execute("UPDATE rows SET sig = zeroblob(64) WHERE v = 5")
        )
        registry.pruner._keep = KEEP
        await until(lambda: any("is not pruned" in r.message for r in caplog.records))

        assert len(await rows_of(ledger)) == 21
    assert [r for r in caplog.records if r.levelno == logging.ERROR]


async def test_the_task_prunes_by_itself_and_the_file_shrinks(tmp_path: Path) -> None:
    async with center(tmp_path, rhythm=replace(STILL, prune_every=0.02)) as registry:
        ledger = registry.get("default")
        registry.pruner._keep = Keep(rows=10**6)
        for number in range(60):
            await ledger.submit(draft("k", secrets.token_hex(20_000) + str(number)))
        pruning = registry.pruner
        await until(lambda: "default" in pruning.size.namespaces)
        await until(lambda: pruning.size.namespaces["default"].rows == 61)
        before = registry.pruner.size
        registry.pruner._keep, registry.pruner._clock_ms = KEEP, lambda: LATER
        await until(lambda: registry.pruner.size.file_bytes < before.file_bytes / 3)
        await until(lambda: registry.pruner.size.namespaces["default"].rows == 6)

        assert before.file_bytes > 2_000_000
        assert before.namespaces["default"].oldest_ms > DAY_MS


async def test_a_publish_under_a_forgotten_id_that_the_store_remembers_is_refused_and_no_alarm(
    tmp_path: Path,
) -> None:
    """A burst, then silence: the store forgets ids only at a later change."""
    async with center(tmp_path) as registry:
        ledger = registry.get("default")
        await publish(ledger, 20)
        await pruner(registry).prune(ledger)

        with pytest.raises(Problem) as refused:
            await ledger.submit(draft("k", "again", "k-2"))
        assert (refused.value.name, ledger.mode) == ("id-reused", Mode.READY)
        kept = await ledger.submit(draft("k", "again", "k-18"))
        ledger.store.spaces["default"].ids.clear()  # a day later
        done = await ledger.submit(draft("k", "again", "k-2"))

    assert kept.replayed
    assert (done.replayed, done.result) == (False, 21)


async def test_a_journal_that_fails_while_the_store_is_away_is_said_and_nothing_raises(
    tmp_path: Path,
) -> None:
    class Away(MemoryStore):
        away = False

        async def head(self, ns: str) -> StoredHead | None:
            if self.away:
                raise StoreDown("nobody answers")
            return await super().head(ns)

    async def broken(_: object) -> None:
        raise JournalDown("the disk fails")

    store = Away()
    async with center(tmp_path, store) as registry:
        await publish(registry.get("default"), 2)
        fresh = Ledger("default", store, registry.journal, registry.key, registry.verifier)
        real, fresh.journal.transact = fresh.journal.transact, broken  # type: ignore[method-assign]
        store.spaces, spaces = {}, store.spaces
        await fresh.refresh()
        assert (fresh.mode, fresh.reason) == (Mode.UNREACHABLE, "the disk fails")
        fresh.reason, store.away = "", True
        await fresh.refresh()
        assert (fresh.mode, fresh.reason) == (Mode.UNREACHABLE, "the disk fails")
        store.away = False
        fresh.journal.transact = real  # type: ignore[method-assign]
        await fresh.refresh()

        assert fresh.mode is Mode.EMPTY
        assert values(fresh) == {"k": b'"k1"'}  # it was asked again
        store.spaces = spaces


async def test_bodies_of_the_store_go_when_neither_log_nor_entry_names_them(
    tmp_path: Path,
) -> None:
    """And with them what a restore made ready whose center was killed."""
    with running() as server:
        raw = redis.Redis.from_url(server.url)
        store = RedisStore(server.url, Retention(records=2, seconds=0))
        async with center(tmp_path, store) as registry:
            ledger = registry.get("default")
            for number in range(12):  # the log is trimmed to the newest two or three of them
                await ledger.submit(draft("k", f"{number}" * 20_000))
            await raw.hset("cc:{default}:new:0:cur", "k", "a row")
            before = await store.idle_bodies("default")
            named = {c.sha256 for c in ledger.state.entries["k"].contents}
            log = await store.read_log("default", START)
            named |= {sha for row in log for sha in row.bodies}

            await pruner(registry, Keep(grace=3600)).prune(ledger)
            assert set(await store.idle_bodies("default")) == set(before)
            assert await raw.exists("cc:{default}:new:0:cur")
            await pruner(registry, Keep(grace=-1)).prune(ledger)
            after = await store.idle_bodies("default")
            image = await store.read_image("default")

            assert len(before) == 12
            assert 0 < len(named) < 12
            assert set(after) == named
            assert not await raw.exists("cc:{default}:new:0:cur")
            assert image.missing() == set()
        await store.close()
        await raw.aclose()


async def test_a_namespace_that_ended_is_not_taken_up_again_at_a_restart(tmp_path: Path) -> None:
    """It was attached, beaten and guarded for a second before it was put away."""
    store = MemoryStore()
    async with center(tmp_path, store) as registry:
        await registry.create("team", "alice")
        await registry.end("team", end())
    async with center(tmp_path, store) as registry:
        assert "team" not in registry.ledgers
        with pytest.raises(Problem) as taken:
            await registry.create("team", "bob")
    assert taken.value.name == "already-exists"


PRUNING = """
import asyncio, sys
from pathlib import Path
from config_center.retention import Keep
from tests.config_center.ledger.test_pruning import publish, pruner
from tests.config_center.ledger.world import center, draft
from tests.history import verifier

async def main():
    async with center(Path(sys.argv[1])) as registry:
        ledger, number = registry.get("default"), 0
        await publish(ledger, 300)
        prune = pruner(registry, Keep(rows=5, versions=2))
        while True:
            for _ in range(20):
                number += 1
                await ledger.submit(draft("n", number))
            print(number, ledger.state.digest.hex(), flush=True)
            await prune.prune(ledger)

asyncio.run(main())
"""


async def test_kill_9_while_it_prunes_leaves_base_and_rows_that_lead_to_what_was_told(
    tmp_path: Path,
) -> None:
    """The store is that process's memory: after the kill there is the journal, and nothing else."""
    for wait in (0.05, 0.15, 0.3):
        home = tmp_path / str(wait)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PRUNING, str(home), stdout=subprocess.PIPE
        )
        try:
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            await asyncio.sleep(wait)  # somewhere inside of a round; any place will do
        finally:
            process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).splitlines()
        await process.wait()
        told, digest = (rest[-1] if rest else line).decode().split()
        async with center(home) as registry:
            ledger = registry.get("default")
            base = await ledger.journal.base("default")

            assert ledger.mode is Mode.EMPTY
            assert int(values(ledger)["n"]) >= int(told)
            assert int(values(ledger)["n"]) > int(told) or ledger.state.digest.hex() == digest
            print(f"killed after {wait} s: base {base and base.position}, told {told}")
