from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid, StateInUse
from client_sdk.records import Position
from config_center.journal import Journal
from config_center.ledger.recovery import next_epoch
from tests.history import History, put


async def opened(home: Path) -> Journal:
    return await Journal.open(home / "journal.sqlite3")


async def test_an_intent_is_not_history_until_it_is_marked(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    await journal.intend("ns", history.records)

    before = await journal.newest("ns")
    await journal.mark([history.head.c], "committed")
    after = await journal.newest("ns")
    await journal.close()

    assert before is None
    assert after is not None
    assert after.c == history.head.c


async def test_a_refused_row_never_shows(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    history.add(put("k", 1), change="lost")
    await journal.intend("ns", history.records)
    await journal.mark([history.records[0].c], "committed")
    await journal.mark([history.head.c], "refused")

    assert await journal.find("ns", "lost") is None
    assert await journal.status("ns", "lost") == "refused"
    assert await journal.versions("ns", "k") == []
    await journal.close()


async def test_history_comes_back_after_a_restart_with_its_bodies(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    history.add(put("k", "one"))
    history.add(put("k", "two", 2))
    await journal.seen("ns", history.records)
    await journal.close()
    journal = await opened(tmp_path)

    records = await journal.after("ns", Position(1, 1), 10)

    assert records == history.records[1:]
    assert await journal.namespaces() == ["ns"]
    assert [h.position for h in await journal.headers("ns")] == [(1, 1), (1, 2), (1, 3)]
    await journal.close()


async def test_history_after_a_position_it_does_not_hold_is_none(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    await journal.seen("ns", history.records)

    assert await journal.after("ns", Position(1, 9), 10) is None
    assert await journal.after("ns", Position(0, 0), 10) == history.records
    await journal.close()


async def test_versions_of_a_key_are_numbered_and_bring_their_bodies(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    history.add(put("k", "one"))
    history.add(put("k", "two", 2))
    await journal.seen("ns", history.records)

    versions = await journal.versions("ns", "k")
    second = await journal.version("ns", "k", 2)

    assert [v.content.version for v in versions] == [1, 2]
    assert second.content.body == b'"two"'
    assert await journal.version("ns", "k", 3) is None
    assert await journal.stable_before("ns", "k", 2) == 1
    assert await journal.stable_before("ns", "k", 1) is None
    assert await journal.stable_before("ns", "k", None) == 2
    await journal.close()


async def test_a_body_is_shown_only_to_the_namespace_that_has_it(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    record = history.add(put("k", "mine"))
    await journal.seen("ns", history.records)
    (sha,) = record.bodies

    assert await journal.body("ns", sha) == b'"mine"'
    assert await journal.body("other", sha) is None
    await journal.close()


async def test_epochs_only_grow_and_stay_in_the_journals_own_class(tmp_path: Path) -> None:
    journal = await opened(tmp_path)

    minted = [await journal.mint_epoch("ns", above, next_epoch) for above in (1, 1, 5000)]
    await journal.close()

    assert minted == sorted(set(minted))
    assert minted[2] > 5000
    assert len({epoch % 1024 for epoch in minted}) == 1


async def test_an_epoch_that_was_tried_is_never_tried_again_after_a_restart(
    tmp_path: Path,
) -> None:
    journal = await opened(tmp_path)
    first = await journal.mint_epoch("ns", 1, next_epoch)
    await journal.close()
    journal = await opened(tmp_path)

    assert await journal.mint_epoch("ns", 1, next_epoch) > first
    await journal.close()


async def test_data_keys_are_kept_and_never_overwritten(tmp_path: Path) -> None:
    journal, history = await opened(tmp_path), History()
    await journal.intend("ns", history.records, {"dek": "kek:AAAA"})
    await journal.seen("ns", [], {"dek": "kek:BBBB", "fp": "kek:CCCC"})

    assert await journal.ring("ns") == {"dek": "kek:AAAA", "fp": "kek:CCCC"}
    assert await journal.ring("other") == {}
    await journal.close()


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    journal = await opened(tmp_path)

    with pytest.raises(StateInUse, match="--data"):
        await opened(tmp_path)
    await journal.close()


async def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").write_bytes(b"not a database, not at all" * 100)

    with pytest.raises(SettingInvalid, match=r"journal\.sqlite3"):
        await opened(tmp_path)


async def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    def refuse(_: int, __: int) -> int:
        raise ValueError("no epoch today")

    journal = await opened(tmp_path)
    with pytest.raises(ValueError, match="today"):
        await journal.mint_epoch("ns", 1, refuse)

    assert await journal.mint_epoch("ns", 1, next_epoch) > 1
    await journal.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from config_center.journal import Journal
from tests.history import History, put

async def main():
    journal, history = await Journal.open(Path(sys.argv[1])), History()
    await journal.seen("ns", history.records)
    for i in range(10_000):
        record = history.add(put("k", i, i + 1))
        await journal.intend("ns", [record])
        await journal.mark([record.c], "committed")
        print(record.position, flush=True)

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_marked(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE
    )
    try:
        told = [await asyncio.wait_for(process.stdout.readline(), 60) for _ in range(20)]
    finally:
        process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).splitlines()
    await process.wait()
    last = Position.parse((rest or told)[-1].decode().strip())

    journal = await Journal.open(path)
    newest = await journal.newest("ns")
    await journal.close()

    assert newest.position >= last
