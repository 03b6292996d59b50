import shlex
import sys
import time

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek, Keks, open_source

KEK = Kek.from_secret(b"a" * 32)


def command(program):
    text = f"{shlex.quote(sys.executable)} -Sc {shlex.quote(program)}"
    return open_source("command", text, "secret_key_command")


def test_keys_that_a_command_prints_are_read():
    assert command(f"print({KEK.line!r})").read() == Keks((KEK,))


def test_a_command_that_asks_for_a_password_is_told_that_nobody_is_there():
    assert command(f"import sys; assert not sys.stdin.read(); print({KEK.line!r})").read()


def test_a_command_that_takes_too_long_ends_with_all_that_it_started():
    waits = "import os, time; os.fork(); time.sleep(60)"
    began = time.monotonic()

    with pytest.raises(SettingInvalid, match=r"did not end within 0.2 s"):
        command(waits).hurried(0.2).read()
    assert time.monotonic() - began < 10


def test_a_command_that_prints_without_end_is_ended():
    with pytest.raises(SettingInvalid, match="prints more than 64 KiB"):
        command("while True: print('x' * 1000)").read()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('hunter2')", "ended with status 1; run it by hand"),
        ("print('hunter2')", "did not print a key-encryption key"),
        ("import sys; sys.stdout.buffer.write(b'hunter2\\xff')", "did not print"),
    ],
)
def test_a_command_that_fails_is_named_and_nothing_of_what_it_said(program, said, capfd):
    with pytest.raises(SettingInvalid, match=said) as refused:
        command(program).read()

    assert "hunter2" not in str(refused.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize("text", ["/no/such/program", "'unclosed", " "])
def test_a_command_that_cannot_be_started_is_said(text):
    with pytest.raises(SettingInvalid, match=r"^the command of X cannot be started \("):
        open_source("command", text, "X").read()
