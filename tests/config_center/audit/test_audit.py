"""The driver: entry before answer, one transaction for all who wait, and a disk that refuses."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.signing import SigningKey
from config_center.audit import audit as driver
from config_center.audit.audit import Audit, AuditDown, Keep
from config_center.audit.book import Book, Choice, examine, reader
from config_center.audit.entries import Entry
from config_center.problems import Problem
from tests.config_center.audit.test_chain import KEY, STRANGER, VERIFIER
from tests.until import until

DAY = 24 * 3600 * 1000


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms


@contextlib.asynccontextmanager
async def opened(
    home: Path, keep: Keep | None = None, clock: Clock | None = None, key: SigningKey = KEY
) -> AsyncIterator[Audit]:
    audit = await Audit.open(home / "audit.sqlite3", key, VERIFIER, keep, clock or Clock())
    try:
        yield audit
    finally:
        await audit.close()


def put_aside(home: Path) -> list[Path]:
    return list(home.glob("audit.*.broken.sqlite3"))


def events(home: Path) -> list[str]:
    """The events of the file, oldest first; it has to be intact."""
    with closing(reader(home / "audit.sqlite3")) as db:
        found = examine(db, VERIFIER)
        assert found.broken == ""
        rows = db.execute("SELECT raw FROM entries ORDER BY n").fetchall()
        return [orjson.loads(raw)["event"] for (raw,) in rows]


def call(number: int = 0) -> Entry:
    return Entry(at=1, outcome="accepted", keys=(f"k{number}",), request=f"r-{number}")


async def break_disk(audit: Audit) -> None:
    """In the audit's own thread: in the middle of a transaction it would be undone with it."""
    statement = (
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.entries "
        "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    )
    await audit._in_thread(lambda: audit._book.db.execute(statement))


async def mend_disk(audit: Audit) -> None:
    await audit._in_thread(lambda: audit._book.db.execute("DROP TRIGGER full"))


async def test_a_run_is_told_from_its_start_to_its_stop(tmp_path: Path) -> None:
    for _ in range(2):
        async with opened(tmp_path) as audit:
            await audit.record(call())

    assert events(tmp_path) == ["begun", "started", "call", "stopped", "started", "call", "stopped"]


async def test_what_was_recorded_is_in_the_file_and_all_who_wait_share_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    append = Book.append

    def counted(book: Book, entries, *more, **words) -> None:  # type: ignore[no-untyped-def]
        sizes.append(len(entries))
        append(book, entries, *more, **words)

    async with opened(tmp_path) as audit:
        monkeypatch.setattr(Book, "append", counted)
        await asyncio.gather(*(audit.record(call(n)) for n in range(200)))
        assert events(tmp_path).count("call") == 200
        assert audit.written["accepted"] == 200

    assert max(sizes) > 100


async def test_what_was_written_is_synced_within_a_second_though_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_SYNC_EVERY", 0.05)
    synced: list[bool] = []
    append = Book.append

    def watched(book: Book, entries, at, key, *, through=False) -> None:  # type: ignore[no-untyped-def]
        synced.append(through)
        append(book, entries, at, key, through=through)

    async with opened(tmp_path) as audit:
        monkeypatch.setattr(Book, "append", watched)
        await audit.record(call())
        await until(lambda: len(synced) >= 2)
        await audit.record(call(), through=True)

    assert synced[:3] == [False, True, True]


async def test_a_full_disk_refuses_changes_and_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_AGAIN", 0.05)
    async with opened(tmp_path) as audit:
        await break_disk(audit)
        with pytest.raises(AuditDown, match="full"):
            await audit.record(call(1))
        with pytest.raises(Problem, match="what cannot be written down is not done") as refused:
            audit.require()
        await audit.refused(call(2))
        audit.leave(call(3))
        await mend_disk(audit)
        await until(lambda: not audit.down)

        audit.require()
        assert refused.value.status == 507
        assert audit.errors > 0

    assert events(tmp_path) == ["begun", "started", "call", "call", "call", "stopped"]


async def test_a_new_key_seals_at_once_what_the_old_one_sealed(tmp_path: Path) -> None:
    """Else a center that is restarted stands on the word of a key that may be a thief's."""
    async with opened(tmp_path) as audit:
        audit.sign_with(STRANGER)
        await until(lambda: audit._book.seal is not None and audit._book.seal.kid == STRANGER.kid)
        assert STRANGER.kid in str((await audit.reading.newest(Choice(), None, 1))[0].raw)


async def test_what_waits_for_the_disk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_QUEUE", 3)
    monkeypatch.setattr(driver, "_AGAIN", 0.05)
    async with opened(tmp_path) as audit:
        await break_disk(audit)
        for _ in range(5):
            audit.leave(call())
        with pytest.raises(AuditDown):
            await audit.record(call())
        assert audit.lost == 3
        await mend_disk(audit)
        await until(lambda: not audit._line)

    assert events(tmp_path).count("call") == 3


async def test_a_disk_that_hangs_holds_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_PATIENCE", 0.05)
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()
    append = Book.append

    def hanging(book: Book, *more, **words) -> None:  # type: ignore[no-untyped-def]
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()
        append(book, *more, **words)

    async with opened(tmp_path) as audit:
        monkeypatch.setattr(Book, "append", hanging)
        with pytest.raises(AuditDown, match="does not answer"):
            await audit.record(call())
        goes_on.set()
        await until(lambda: audit.written["accepted"] == 1)
        monkeypatch.setattr(driver, "_PATIENCE", 10.0)


async def test_refusals_that_repeat_are_counted_and_told_at_the_latest_at_the_end(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as audit:
        for _ in range(50):
            await audit.refused(Entry(at=5, outcome="refused", address="10.0.0.1", problem="x"))

    with closing(reader(tmp_path / "audit.sqlite3")) as db:
        rows = db.execute("SELECT raw FROM entries WHERE outcome = 'refused' ORDER BY n").fetchall()
    told = [orjson.loads(raw) for (raw,) in rows]
    assert [(each["event"], each.get("times")) for each in told] == [
        ("call", None),
        ("repeated", 49),
    ]


async def test_the_house_tells_what_was_counted_and_lets_go_of_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_TELL_EVERY", 0.02)
    monkeypatch.setattr(driver, "_KEEP_HOUSE_EVERY", 0.02)
    monkeypatch.setattr("config_center.audit.tally.WINDOW", 0.0)
    clock = Clock()
    async with opened(tmp_path, Keep(days=10, entries=2), clock) as audit:
        refused = Entry(at=1, outcome="refused", problem="x")
        await audit.refused(refused)
        await audit.refused(refused)
        await until(lambda: audit.written["refused"] == 2)
        clock.ms += 11 * DAY
        await until(lambda: audit._book.after.n > 0 and audit.written[""] > 2)

    assert "trimmed" in events(tmp_path)


async def test_entries_go_when_they_are_old_and_not_among_the_newest(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, Keep(days=10, entries=5), clock) as audit:
        for n in range(20):
            await audit.record(Entry(at=clock(), outcome="accepted", keys=(str(n),)))
        assert await audit.trim() == 0
        clock.ms += 10 * DAY
        assert await audit.trim() == 0
        clock.ms += 1
        assert await audit.trim() == 17

    assert events(tmp_path) == [*["call"] * 5, "trimmed", "stopped"]


async def test_a_file_that_is_not_as_it_was_sealed_is_put_aside_and_not_made_whole(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as audit:
        await audit.record(call(1))
    with closing(sqlite3.connect(tmp_path / "audit.sqlite3", isolation_level=None)) as db:
        db.execute("DELETE FROM entries WHERE n > 2")

    async with opened(tmp_path) as audit:
        rows = await audit.reading.newest(Choice(), None, 10)

    first = orjson.loads(rows[-1].raw)
    (aside,) = put_aside(tmp_path)
    assert (first["event"], aside.name in first["detail"]) == ("begun", True)
    with closing(reader(aside)) as db:
        assert "were cut off its end" in examine(db, VERIFIER).broken


async def test_noise_instead_of_a_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite3").write_bytes(b"noise" * 1000)

    async with opened(tmp_path):
        pass

    assert events(tmp_path)[0] == "begun"
    assert len(put_aside(tmp_path)) == 1


async def test_a_forged_file_of_another_key_is_put_aside(tmp_path: Path) -> None:
    async with opened(tmp_path, key=STRANGER):
        pass
    async with opened(tmp_path):
        pass

    assert len(put_aside(tmp_path)) == 1


async def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="cannot be used"):
        await Audit.open(tmp_path / "no" / "audit.sqlite3", KEY, VERIFIER)


async def test_an_entry_that_cannot_be_encoded_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as audit:
        with pytest.raises(AuditDown, match="encoded"):
            await audit.record(Entry(at=1, outcome="accepted", asked={"to": 2**70}))
        await audit.record(call())
        assert (audit.lost, audit.down) == (1, "")

    assert events(tmp_path) == ["begun", "started", "call", "stopped"]
    assert "could not be encoded" in caplog.text
