"""
Histories that broke earlier designs, kept so that they cannot come back. docs/faults.md lists all
sixteen; the others live beside what they test.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import free_port
from config_center.problems import Problem
from config_center.store.base import CommitOutcome, OutcomeUnknown, Retention
from config_center.store.memory import MemoryStore
from config_center.store.redis import RedisStore
from tests.config_center.ledger.test_recovery import fail_over, saved
from tests.config_center.ledger.world import STILL, center, draft
from tests.redis_server import running


def on_disk(home: Path, change: str) -> str | None:
    """
    How a center's journal knows a change, as another process reads the file; of what it tried
    itself, and lost, it is the other row that counts.
    """
    with sqlite3.connect(home / "journal.sqlite3") as db:
        rows = db.execute("SELECT st FROM rows WHERE id = ?", (change,)).fetchall()
    db.close()
    found = {str(status) for (status,) in rows}
    return min(found - {"refused"} or found, default=None)


async def test_counterexample_01_who_hears_200_is_in_the_journal_as_committed(
    tmp_path: Path,
) -> None:
    """The center died after its 200 and the store was lost: the journal knew an intent only."""
    async with center(tmp_path) as registry:
        await registry.get("default").submit(draft("k", 1, "one"))

        assert on_disk(tmp_path, "one") == "committed"


class LostReply(MemoryStore):
    """Carries out one commit and loses the reply, once it is armed; then nothing is answered."""

    armed = False

    async def commit(self, *args: Any, **kwargs: Any) -> CommitOutcome:
        outcome = await super().commit(*args, **kwargs)
        if self.armed:
            self.armed = False
            raise OutcomeUnknown("no reply")
        return outcome


async def test_counterexample_02_a_retry_at_another_center_is_answered_from_its_own_journal(
    tmp_path: Path,
) -> None:
    """B committed and lost the reply, A said 200 to the retry, the store and B were lost."""
    store = LostReply()
    async with (
        center(tmp_path / "a", store, STILL) as a,
        center(tmp_path / "b", store, STILL) as b,
    ):
        store.armed = True
        with pytest.raises(Problem) as unknown:
            await b.get("default").submit(draft("k", 1, "one"))
        again = await a.get("default").submit(draft("k", 1, "one"))

        assert (unknown.value.name, again.replayed) == ("outcome-unknown", True)
        assert on_disk(tmp_path / "a", "one") == "seen"


class Watched(MemoryStore):
    """Notes, at every commit, what a journal on the disk knows of a change, and how many go."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home
        self.known: list[str | None] = []
        self.commits: list[tuple[bool, list[str]]] = []

    async def commit(
        self, ns: str, expected: Any, pendings: Sequence[Any], *, adopt: bool = False
    ) -> CommitOutcome:
        self.known.append(on_disk(self.home, "theirs"))
        self.commits.append((adopt, [pending.record.header.type for pending in pendings]))
        return await super().commit(ns, expected, pendings, adopt=adopt)


async def test_counterexample_03_nothing_is_built_on_a_head_that_is_not_in_the_journal(
    tmp_path: Path,
) -> None:
    """A center built on what it had only read: later it could not prove its own line."""
    store = Watched(tmp_path / "a")
    async with (
        center(tmp_path / "a", store, STILL) as a,
        center(tmp_path / "b", store, STILL) as b,
    ):
        await b.get("default").submit(draft("k", 1, "theirs"))
        store.known.clear()
        await a.get("default").submit(draft("k", 2, "ours"))

    assert store.known == [None, "seen"]  # it lost the race once, learned, and then built


async def test_counterexample_08_an_adoption_and_what_it_brings_back_are_one_commit(
    tmp_path: Path,
) -> None:
    """Adopted first and replayed one by one, clients saw the older state in between."""
    store = Watched(tmp_path)
    async with center(tmp_path, store) as registry:
        ledger = registry.get("default")
        await ledger.submit(draft("k", 1))
        replica = saved(store)
        for number in (2, 3):
            await ledger.submit(draft("k", number))
        fail_over(store, replica)
        store.commits.clear()
        await ledger.submit(draft("k", 4))

    assert [commit for commit in store.commits if commit[0]] == [(True, ["adopt", "put", "put"])]


async def test_counterexample_11_replicas_are_asked_about_the_writes_of_the_very_connection(
    tmp_path: Path,
) -> None:
    """The only replica was frozen; WAIT on another connection, which wrote nothing, said 1."""
    port = free_port()
    with (
        running(None, "--port", str(port), "--repl-diskless-sync-delay", "0") as master,
        running(None, "--replicaof", "127.0.0.1", str(port)) as replica,
    ):
        store = RedisStore(master.url, Retention(), replicas=1, wait=30.0)
        async with asyncio.timeout(20):
            while not await store.is_replicated("default"):
                pass
        async with center(tmp_path, store) as registry:
            await registry.get("default").submit(draft("k", 1, "one"))
            replica.signal(signal.SIGSTOP)
            store._wait = 0.3
            with pytest.raises(Problem) as alone:
                await registry.get("default").submit(draft("k", 2, "two"))
            replica.signal(signal.SIGCONT)
        await store.close()

    assert alone.value.name == "outcome-unknown"
