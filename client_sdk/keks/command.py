"""
Keys that a command prints: a vault's client, a cloud's key service, ``age --decrypt``.

It is started without a shell, with nothing on its standard input (what asks for a password ends
instead of waiting), in a process group of its own that ends as a whole when it takes too long or
prints too much. Neither what it prints nor what it complains of is ever shown, because either may
hold the key; whoever wants to know why it fails runs it by hand.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, replace

from client_sdk.errors import SettingInvalid
from client_sdk.keks.base import LARGEST, Keks, KekSource

WITHIN = 15.0  # seconds


@dataclass(frozen=True, repr=False)
class CommandSource(KekSource):
    """The command as a shell would split it; ``within`` seconds are its deadline."""

    kind = "command"
    within: float = WITHIN

    @property
    def where(self) -> str:
        return f"the command of {self.name}"

    def hurried(self, seconds: float) -> KekSource:
        return replace(self, within=min(self.within, seconds))

    def read(self) -> Keks:
        printed = self._output()
        try:
            return Keks.parse(printed.decode("ascii"))
        except ValueError:
            raise SettingInvalid(
                f"{self.where} did not print a key-encryption key: it is a line `ID BASE64` as in "
                "a center's secrets.key"
            ) from None

    def _output(self) -> bytes:
        try:
            process = subprocess.Popen(
                shlex.split(self.value),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            why = getattr(error, "strerror", None) or "it cannot be split into words"
            raise SettingInvalid(f"{self.where} cannot be started ({why})") from None
        late = threading.Event()

        def stop() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(self.within, stop)
        timer.start()
        assert process.stdout is not None
        try:
            printed = process.stdout.read(LARGEST + 1)
            if len(printed) > LARGEST:
                _end(process)
            status = process.wait()
        finally:
            timer.cancel()
            process.stdout.close()
        if late.is_set():
            raise SettingInvalid(f"{self.where} did not end within {self.within:g} s")
        if len(printed) > LARGEST:
            raise SettingInvalid(f"{self.where} prints more than {LARGEST >> 10} KiB")
        if status:
            raise SettingInvalid(
                f"{self.where} ended with status {status}; run it by hand to see why"
            )
        return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its whole group: what it started may hold the pipe open."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


SOURCE = CommandSource
