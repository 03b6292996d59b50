"""`make run` as people meet it: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from config_center.cli.children import Child
from config_center.cli.ports import require_free
from config_center.cli.up import begin
from config_center.settings import Listen
from tests.config_center.service_world import service
from tests.until import until

ROOT = Path(__file__).parents[3]
WITHIN = 60.0
FOUR_LINES = re.compile(
    r"page     (http://127\.0\.0\.1:\d+)/#token=(cc_\S+)          \(also in data/admin\.token\)\n"
    r"devices  http://127\.0\.0\.1:\d+/xiaozhi/ota/            "
    r"a real ESP32: make run GATEWAY=0\.0\.0\.0:8000, then docs/devices\.md\n"
    r"try      \.venv/bin/config-center put prompt --text 'You are a pirate\.' --percent 10\n"
    r"         \.venv/bin/config-center rollout promote prompt      "
    r"\.venv/bin/config-center rollback prompt\n"
)


class Up:
    """``config-center up`` as a process, and what it printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    @property
    def url(self) -> str:
        return FOUR_LINES.search(self.said).group(1)  # type: ignore[union-attr]

    async def until_said(self, words: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN):
            while not re.search(words, self.said):
                line = await self.process.stdout.readline()
                assert line, self.said
                self.said += line.decode()

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN):
            rest, _ = await self.process.communicate()
        self.said += rest.decode()
        return int(self.process.returncode)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def up(home: Path, *arguments: str) -> AsyncIterator[Up]:
    words = arguments or ("--center", "0", "--gateway", "0", "--devices", "2")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "config_center", "up", *words),
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def descendants(pid: int) -> dict[int, str]:
    """Every process below this one: pid and command line. One that ends meanwhile is left out."""
    found: dict[int, str] = {}
    todo = [pid]
    while todo:
        for child in children(todo.pop()):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            todo.append(child)
    return found


def children(pid: int) -> list[int]:
    """Below each of its threads; a process or thread that ends while it is read has none."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def ask(up: Up, home: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "config_center", *words),
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},  # data/ says where
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_it_says_where_everything_is_tells_what_happens_and_ends_whole(
    tmp_path: Path,
) -> None:
    async with up(tmp_path) as fleet:
        await fleet.until_said("rollback prompt\n")
        assert FOUR_LINES.fullmatch(fleet.said)
        assert (tmp_path / "data/admin.token").read_text().strip() in fleet.said
        below = descendants(fleet.process.pid)
        assert len(below) == 4  # the store, the stub LLM, the gateway, the devices

        await ask(fleet, tmp_path, "put", "prompt", "--text", "You are a pirate.")
        await fleet.until_said(r"\d+-\d+  admin  prompt \(set\)\n")
        await ask(fleet, tmp_path, "freeze", "-n", "default", "-r", "incident")
        await fleet.until_said(r"\d+-\d+  admin  frozen: incident\n")
        await ask(fleet, tmp_path, "unfreeze", "-n", "default")
        made = json.loads(
            await ask(fleet, tmp_path, "put", "prompt", "--text", "x", "--draft", "--json")
        )
        await ask(fleet, tmp_path, "draft", "reject", made["id"])
        await fleet.until_said(rf"admin  freeze lifted\n.*  admin  draft {made['id']} withdrawn\n")
        async with up(tmp_path) as second:
            assert await second.ended() == 1
        assert re.fullmatch(
            rf"error: the data directory data is in use by pid {fleet.process.pid}; .*\n",
            second.said,
        )

        assert await fleet.end(signal.SIGINT) == 0
        assert fleet.said.endswith("ending ...\n")
        assert [pid for pid in below if runs(pid)] == []

    async with up(tmp_path) as again:
        await again.until_said("rollback prompt\n")
        assert FOUR_LINES.fullmatch(again.said)
        assert await ask(again, tmp_path, "get", "prompt") == "You are a pirate.\n"
        assert "sample canary" in await ask(again, tmp_path, "history", "greeting")
        assert len((await ask(again, tmp_path, "history", "greeting")).splitlines()) == 3
        assert await again.end(signal.SIGTERM) == 0


async def test_a_gateway_that_dies_is_said_and_started_again_on_its_port(tmp_path: Path) -> None:
    async with up(tmp_path) as fleet:
        await fleet.until_said("rollback prompt\n")
        gateway = next(p for p, c in descendants(fleet.process.pid).items() if "gateway run" in c)

        os.kill(gateway, signal.SIGKILL)

        await fleet.until_said(r"gateway-1 ended with status -9 and starts again in 1 s; .*\n")
        port = int(re.search(r"devices  http://127\.0\.0\.1:(\d+)", fleet.said).group(1))  # type: ignore[union-attr]
        await until(lambda: not _free(port), WITHIN)
        assert await fleet.end(signal.SIGINT) == 0


async def test_ctrl_c_before_it_is_up_ends_it_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    async with up(tmp_path) as fleet:
        await until(lambda: "stub-llm" in str(descendants(fleet.process.pid)), WITHIN)
        below = descendants(fleet.process.pid)

        assert await fleet.end(signal.SIGINT) == 0

        assert "page" not in fleet.said
        assert [pid for pid in below if runs(pid)] == []


async def test_a_second_ctrl_c_does_not_wait_for_a_child_that_hangs(tmp_path: Path) -> None:
    async with up(tmp_path) as fleet:
        await fleet.until_said("rollback prompt\n")
        below = descendants(fleet.process.pid)
        for pid, command in below.items():
            if "device_gateway" in command:
                os.kill(pid, signal.SIGSTOP)

        fleet.process.send_signal(signal.SIGINT)
        await fleet.until_said(r"ending \.\.\.\n")
        assert await fleet.end(signal.SIGINT) == 130

        await until(lambda: not any(map(runs, below)), WITHIN)


async def test_killed_it_takes_everything_along(tmp_path: Path) -> None:
    async with up(tmp_path) as fleet:
        await fleet.until_said("rollback prompt\n")
        below = descendants(fleet.process.pid)

        fleet.process.kill()

        await until(lambda: not any(map(runs, below)), WITHIN)


async def test_a_data_directory_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    async with up(tmp_path) as fleet:
        assert await fleet.ended() == 1

    assert fleet.said.startswith("error: the data directory data cannot be used (")
    assert len(fleet.said.splitlines()) == 1


@pytest.mark.parametrize("which", ["center", "gateway"])
async def test_a_port_that_is_taken_stops_it_before_anything_starts(
    tmp_path: Path, which: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = {"center": "0", "gateway": "0"} | {which: f"127.0.0.1:{port}"}
        async with up(tmp_path, *(f"--{name}={value}" for name, value in words.items())) as fleet:
            assert await fleet.ended() == 1

    other = port + 10 if port <= 65_525 else 0
    owner = re.escape(f"port {port} is in use by pid {os.getpid()} (")
    beside = {"center": "GATEWAY=0 ", "gateway": "CENTER=0 "}[which]  # what was given besides
    assert re.fullmatch(
        rf"{owner}.+\): make run {beside}{which.upper()}=127\.0\.0\.1:{other}\n", fleet.said
    )
    assert not (tmp_path / "data").exists()


def test_a_free_port_is_free() -> None:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port = once.getsockname()[1]

    require_free(Listen("127.0.0.1", 0), "GATEWAY")
    require_free(Listen("127.0.0.1", port), "GATEWAY")
    with pytest.raises(SettingInvalid, match="cannot listen on"):
        require_free(Listen("192.0.2.1", 80), "GATEWAY")


async def test_a_program_that_cannot_start_says_where_its_output_is(tmp_path: Path) -> None:
    child = Child("nothing", tmp_path / "log", print)
    await child.start("no_such_module", environment={"PATH": "/usr/bin"})
    try:
        with pytest.raises(Exception, match=f"nothing did not start; .* {tmp_path}/log"):
            await child.line("up", WITHIN)
    finally:
        await child.stop()

    assert "no_such_module" in (tmp_path / "log").read_text()


def _free(port: int) -> bool:
    try:
        require_free(Listen("127.0.0.1", port), "")
    except SettingInvalid:
        return False
    return True


async def test_samples_are_for_a_new_directory_and_take_no_place_of_what_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateways = tmp_path / "gateways"
    async with service(tmp_path / "a") as made:
        await begin(made, "http://127.0.0.1:1", gateways)
        assert not made.ledger("default").state.entries
        assert f"the newest {gateways}/*/state/generation-*.base" in capsys.readouterr().out

        await begin(made, "http://127.0.0.1:1", None)
        assert made.ledger("default").state.keys() == ["gateway", "greeting", "llm", "prompt"]
