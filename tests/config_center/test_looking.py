"""Facts of real directories, journals, stores and centers."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from config_center.checks import Level, judge
from config_center.journal import Journal
from config_center.keys import load_or_create
from config_center.looking import (
    JOURNAL,
    lateness,
    look_at_disk,
    look_at_journal,
    look_at_machine,
    look_without_center,
    orphans_of,
)
from config_center.settings import Settings, load
from tests.config_center.api.world import NS, center, http
from tests.redis_server import running


def settings(data: Path, **more: object) -> Settings:
    return load({"data": data, **more}, environment={}).settings


def test_a_directory_that_is_not_there_has_a_disk_and_no_keys(tmp_path: Path) -> None:
    facts = look_at_machine(settings(tmp_path / "a" / "b"))

    assert (facts.keys, facts.files) == (None, ())
    there = look_at_disk(tmp_path)
    assert facts.disk is not None
    assert there is not None
    assert replace(facts.disk, free=0) == replace(there, free=0)  # others write meanwhile
    assert facts.open_files is not None
    assert facts.installed is not None
    assert facts.installed < facts.now


def test_keys_modes_and_owners_are_seen_as_they_lie_there(tmp_path: Path) -> None:
    load_or_create(tmp_path, bytes)
    (tmp_path / "admin.token").write_text("cc_x")
    (tmp_path / "admin.token").chmod(0o644)

    facts = look_at_machine(settings(tmp_path))

    assert facts.keys == ""
    assert [c.mend for c in judge(facts) if c.subject == "files"] == [
        f"chmod 600 {tmp_path / 'admin.token'}"
    ]
    (tmp_path / "signing.key").unlink()
    assert "signing.key is missing" in str(look_at_machine(settings(tmp_path)).keys)


def test_a_file_that_goes_while_it_is_looked_at_is_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes its files away when a center ends; a look beside it failed then."""
    given = settings(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda _: True)  # a moment ago it was

    assert [each.path for each in look_at_machine(given).files] == [str(tmp_path)]


async def test_a_journal_is_read_beside_its_owner_and_damage_is_found(tmp_path: Path) -> None:
    assert look_at_journal(tmp_path) is None
    journal = await Journal.open(tmp_path / JOURNAL)
    whole = look_at_journal(tmp_path)
    await journal.close()
    assert not isinstance(whole, str | None)
    assert (whole.problems, whole.orphans) == ((), {})

    raw = bytearray((tmp_path / JOURNAL).read_bytes())
    raw[4096 * 2 : 4096 * 2 + 200] = b"\xff" * 200
    (tmp_path / JOURNAL).write_bytes(raw)
    damaged = look_at_journal(tmp_path)
    assert isinstance(damaged, str) or (damaged and damaged.problems)

    (tmp_path / JOURNAL).write_bytes(b"not a database at all" * 100)
    assert "not a database" in str(look_at_journal(tmp_path))


async def test_orphans_are_counted_without_a_center(tmp_path: Path) -> None:
    async with center(tmp_path):
        pass
    with sqlite3.connect(tmp_path / JOURNAL) as db:
        db.execute("UPDATE rows SET st = 'orphan' WHERE ns = 'default'")
    db.close()

    facts = await look_without_center(settings(tmp_path))

    assert [c.level for c in judge(facts) if c.subject == "journal"] == [Level.OK, Level.FAIL]


async def test_without_a_center_the_private_stores_program_is_looked_at(tmp_path: Path) -> None:
    facts = await look_without_center(settings(tmp_path))
    wrong = await look_without_center(settings(tmp_path, server_binary="/bin/true"))

    assert {c.subject for c in judge(facts)} == {"files", "disk", "limits", "server"}
    assert [c.level for c in judge(wrong) if c.subject == "server"] == [Level.FAIL]


async def test_without_a_center_a_store_by_url_and_the_peers_are_asked(tmp_path: Path) -> None:
    async with http(tmp_path / "a") as other:
        (tmp_path / "b").mkdir()
        load_or_create(tmp_path / "b", bytes)
        with running(None, "--min-replicas-to-write", "1") as server:
            peers = f"{other.url},http://127.0.0.1:1"
            facts = await look_without_center(
                settings(tmp_path / "b", redis=server.url, peers=peers)
            )
        away = await look_without_center(settings(tmp_path / "b", redis=server.url))

    assert [c.level for c in judge(facts) if c.subject == "replicas"] == [Level.OK, Level.FAIL]
    stranger, gone = facts.peers or ()
    assert stranger.problem == "it answers 401"  # its trust list is another
    assert stranger.clock_apart is not None
    assert abs(stranger.clock_apart) < 30.0  # whole seconds, and what its answer took
    assert (gone.problem != "", gone.clock_apart) == (True, None)
    assert isinstance(away.store, str)


async def test_a_position_is_late_when_what_follows_it_is_old(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        for value in (1, 2):
            await call("PUT", f"{NS}/keys/k", {"value": value})
        ledger = call.center.registry.get("default")
        head, at = ledger.state.position, next(reversed(ledger.recent.values())).header.ts / 1000
        before = f"{head.e}-{head.v - 1}"

        soon, later = lateness(ledger, at + 29.0), lateness(ledger, at + 31.0)

        assert [soon(before), later(before), later(before)] == [False, True, True]
        assert [later(str(head)), later(""), later("nonsense")] == [False, False, False]
        assert await orphans_of(call.center.service) == {}
