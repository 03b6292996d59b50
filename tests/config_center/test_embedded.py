import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest
import redis.asyncio

from client_sdk.errors import StateInUse, StoreUnavailable
from config_center import embedded
from config_center.embedded import EmbeddedStore
from config_center.owner import OwnerLock

DEBIAN = Path("/usr/bin/redis-server")
ROOT = Path(__file__).parents[2]
OWNER = """
import asyncio, sys
from pathlib import Path
from config_center.embedded import EmbeddedStore

async def main():
    async with EmbeddedStore(Path(sys.argv[1]), run_dir=Path(sys.argv[2])) as store:
        print(store.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(params=["wheel", "debian"])
def server(request):
    if request.param == "wheel":
        return None
    if not DEBIAN.exists():
        pytest.skip("no Debian redis-server on this machine")
    return DEBIAN


@pytest.fixture
def run_dir():
    with tempfile.TemporaryDirectory(prefix="cc-", dir="/tmp") as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def client_of(store):
    client = redis.asyncio.Redis.from_url(store.url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def until(condition, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # a process elsewhere sets no event here
            await asyncio.sleep(0.01)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def spawn_owner(data, run_dir):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(data), str(run_dir)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    return process, int(line)


async def test_the_server_is_durable_private_and_without_a_port(tmp_path, run_dir, server):
    async with EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store:
        async with client_of(store) as client:
            config = await client.config_get(
                "port", "appendonly", "appendfsync", "save", "maxmemory-policy", "dir"
            )
        address = Path(store.url.removeprefix("unix://"))

        assert config == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "dir": str(tmp_path / "store"),
        }
        assert run_dir in address.parents
        assert [
            stat.S_IMODE(path.stat().st_mode)
            for path in (address, address.parent, tmp_path / "store", store.log_path)
        ] == [0o700, 0o700, 0o700, 0o600]


async def test_data_is_there_after_a_clean_stop_and_nothing_else_is_left(tmp_path, run_dir, server):
    async with EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store:
        pid = store.pid
        async with client_of(store) as client:
            await client.set("a", "1")
    await store.close()

    assert (alive(pid), store.pid, list(run_dir.iterdir())) == (False, None, [])
    async with (
        EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store,
        client_of(store) as client,
    ):
        assert await client.get("a") == "1"


async def test_kill_9_of_the_server_keeps_acknowledged_writes_and_it_is_restarted(
    tmp_path, run_dir, server, caplog
):
    async with EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store:
        first = store.pid
        async with client_of(store) as client:
            for number in range(200):
                await client.set(f"k{number}", number)
        os.kill(first, signal.SIGKILL)
        await until(lambda: store.restarts == 1)
        async with client_of(store) as client:
            kept = await client.dbsize()

        assert (kept, store.failure) == (200, None)
        assert store.pid not in (None, first)
    assert "ended with status -9" in caplog.text


async def test_a_server_that_cannot_come_back_says_why_and_is_tried_again(
    tmp_path, run_dir, server, monkeypatch
):
    monkeypatch.setattr(embedded, "_RESTART_DELAYS", (0.01,))
    async with EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store:
        async with client_of(store) as client:
            for number in range(100):
                await client.set(f"k{number}", "x" * 100)
        (log,) = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
        whole = log.read_bytes()
        os.kill(store.pid, signal.SIGKILL)
        log.write_bytes(whole[: len(whole) // 2] + b"\xff" * 40 + whole[len(whole) // 2 + 40 :])
        await until(lambda: store.failure and "Bad file format" in store.failure)
        assert (store.pid, store.restarts) == (None, 0)

        (tmp_path / "whole").write_bytes(whole)  # a server that starts sees either, and no half
        (tmp_path / "whole").replace(log)
        await until(lambda: store.restarts == 1)
        async with client_of(store) as client:
            assert await client.dbsize() == 100


async def test_a_torn_tail_costs_the_torn_write_only(tmp_path, run_dir, server):
    async with (
        EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store,
        client_of(store) as client,
    ):
        for number in range(100):
            await client.set(f"k{number}", number)
    (log,) = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 5)

    async with (
        EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=server) as store,
        client_of(store) as client,
    ):
        assert await client.dbsize() == 99


async def test_kill_9_of_the_owner_ends_the_server_and_the_next_owner_has_the_data(
    tmp_path, run_dir
):
    owner, server_pid = await spawn_owner(tmp_path, run_dir)
    async with client_of(EmbeddedStore(tmp_path, run_dir=run_dir)) as client:
        await client.set("a", "1")
    owner.kill()
    await owner.wait()
    await until(lambda: not alive(server_pid))

    async with (
        EmbeddedStore(tmp_path, run_dir=run_dir) as store,
        client_of(store) as client,
    ):
        assert await client.get("a") == "1"


async def test_an_orphan_that_hangs_is_ended_before_another_server_starts(
    tmp_path, run_dir, monkeypatch
):
    wait = embedded._wait_for_lock

    def patient(path, ending, seconds):  # what was killed may end late
        return wait(path, ending, 30.0 if ending is signal.SIGKILL else seconds)

    monkeypatch.setattr(embedded, "_wait_for_lock", patient)
    owner, orphan = await spawn_owner(tmp_path, run_dir)
    os.kill(orphan, signal.SIGSTOP)
    owner.kill()
    await owner.wait()
    assert alive(orphan)

    async with EmbeddedStore(tmp_path, run_dir=run_dir, stop_within=0.3) as store:
        assert (alive(orphan), alive(store.pid)) == (False, True)


async def test_a_second_owner_is_refused_and_told_the_pid_of_the_first(tmp_path, run_dir):
    async with EmbeddedStore(tmp_path, run_dir=run_dir) as first:
        second = EmbeddedStore(tmp_path, run_dir=run_dir)
        with pytest.raises(StateInUse, match=f"{tmp_path} is in use by pid {os.getpid()};"):
            await second.start()
        await second.close()

        assert alive(first.pid)
        async with client_of(first) as client:
            assert await client.ping()


async def test_a_server_that_nobody_can_end_is_named(tmp_path, run_dir):
    (tmp_path / "store").mkdir(mode=0o700)
    lock = OwnerLock.acquire(tmp_path / "store" / "server.lock", "the test")
    lock.write_pid(2**22 + 1)
    with pytest.raises(StoreUnavailable, match=r"earlier run \(pid 4194305\) still writes"):
        await EmbeddedStore(tmp_path, run_dir=run_dir, stop_within=0.05).start()
    lock.release()


async def test_a_stale_socket_is_no_obstacle(tmp_path, run_dir):
    store = EmbeddedStore(tmp_path, run_dir=run_dir)
    address = Path(store.url.removeprefix("unix://"))
    leave_behind(address)

    async with store, client_of(store) as client:
        assert await client.ping()


async def test_a_socket_path_that_is_too_long_is_refused_with_the_setting(tmp_path, run_dir):
    with pytest.raises(StoreUnavailable, match=r"longer than 107 bytes.*store_run_dir"):
        await EmbeddedStore(tmp_path, run_dir=run_dir / ("d" * 90)).start()

    assert list(tmp_path.iterdir()) == []


async def test_a_run_directory_that_others_may_enter_is_refused(tmp_path, run_dir):
    store = EmbeddedStore(tmp_path, run_dir=run_dir)
    Path(store.url.removeprefix("unix://")).parent.mkdir(mode=0o755)

    with pytest.raises(StoreUnavailable, match="not a directory of this user alone"):
        await store.start()


async def test_a_symbolic_link_instead_of_the_run_directory_is_refused(tmp_path, run_dir):
    store = EmbeddedStore(tmp_path, run_dir=run_dir)
    elsewhere = run_dir / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    Path(store.url.removeprefix("unix://")).parent.symlink_to(elsewhere)

    with pytest.raises(StoreUnavailable, match="not a directory of this user alone"):
        await store.start()


async def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path, run_dir):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"cannot make .*file/store"):
        await EmbeddedStore(tmp_path / "file", run_dir=run_dir).start()


async def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path, run_dir):
    program = script(
        run_dir / "server",
        'test "$1" = --version && echo "Valkey server v=9.1.2" && exit',
        "echo cannot do that >&2; exit 3",
    )
    with pytest.raises(StoreUnavailable, match=r"ended with status 3.*cannot do that"):
        await EmbeddedStore(tmp_path, run_dir=run_dir, server_binary=program).start()

    async with EmbeddedStore(tmp_path, run_dir=run_dir):
        pass


async def test_a_server_that_never_answers_is_ended_at_the_deadline(tmp_path, run_dir):
    program = script(
        run_dir / "server",
        'test "$1" = --version && echo "Valkey server v=9.1.2" && exit',
        "trap '' TERM; echo $$ > " + str(run_dir / "pid") + "; exec sleep 1000",
    )
    store = EmbeddedStore(
        tmp_path, run_dir=run_dir, server_binary=program, ready_within=0.5, stop_within=0.2
    )
    with pytest.raises(StoreUnavailable, match=r"is silent after 0.5 s"):
        await store.start()

    written = run_dir / "pid"  # by a shell that had half a second
    assert not written.exists() or not alive(int(written.read_text() or 0))


async def test_a_start_that_is_cancelled_leaves_no_server_and_no_lock(tmp_path, run_dir):
    store = EmbeddedStore(tmp_path, run_dir=run_dir)
    start = asyncio.create_task(store.start())
    await until(lambda: (tmp_path / "store" / "server.lock").exists())
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start

    async with EmbeddedStore(tmp_path, run_dir=run_dir) as again:
        assert alive(again.pid)


async def test_a_long_log_is_set_aside_at_the_next_start(tmp_path, run_dir):
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / "server.log").write_bytes(b"x" * (1 << 20) + b"y")

    async with EmbeddedStore(tmp_path, run_dir=run_dir) as store:
        assert store.log_path.stat().st_size < 1 << 20
        assert (tmp_path / "store" / "server.log.1").read_bytes().endswith(b"xy")


async def test_a_loading_server_is_waited_for(tmp_path, run_dir):
    answers = [b"-LOADING Redis is loading the dataset in memory\r\n", b"+PONG\r\n"]

    async def answer(reader, writer):
        await reader.readline()
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    store = EmbeddedStore(tmp_path, run_dir=run_dir)
    address = Path(store.url.removeprefix("unix://"))
    address.parent.mkdir()
    process = await asyncio.create_subprocess_exec("sleep", "100")
    async with await asyncio.start_unix_server(answer, address):
        await store._until_ready(process)
    process.kill()
    await process.wait()

    assert answers == []


def leave_behind(path):
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def script(path, *lines):
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return path
