"""A master, a replica and three sentinels of one test; all die with it."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from benchmarks.processes import free_port
from tests.redis_server import Server, wheel

SERVICE = "config"
_CONFIG = """port {port}
bind 127.0.0.1
dir {home}
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 2000
sentinel failover-timeout {service} 2000
sentinel parallel-syncs {service} 1
"""


class Watched:
    """``url`` names the sentinels; ``master`` and ``replica`` are the servers as they began."""

    def __init__(self, home: Path, master: Server, replica: Server, port: int) -> None:
        self.master, self.replica = master, replica
        self._home = home
        self._ports = [free_port() for _ in range(3)]
        self._processes = [self._sentinel(number, port) for number in self._ports]
        hosts = ",".join(f"127.0.0.1:{number}" for number in self._ports)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}"

    def _sentinel(self, port: int, master: int) -> subprocess.Popen[bytes]:
        home = self._home / str(port)
        home.mkdir()
        config = home / "sentinel.conf"
        config.write_text(_CONFIG.format(port=port, home=home, service=SERVICE, master=master))
        command = [wheel(), str(config), "--sentinel"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def watched() -> Iterator[Watched]:
    """A service that runs inside the block."""
    with tempfile.TemporaryDirectory(prefix="cc-") as name, contextlib.ExitStack() as stack:
        home, ports = Path(name), (free_port(), free_port())
        servers = []
        for number, port in enumerate(ports):
            (home / f"redis-{number}").mkdir()
            more = ["--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
            if servers:
                more += ["--replicaof", "127.0.0.1", str(ports[0])]
            server = Server(home / f"redis-{number}", wheel(), *more)
            server.start()
            stack.callback(server.kill)
            servers.append(server)
        _until_followed(servers[0])
        service = Watched(home, servers[0], servers[1], ports[0])
        stack.callback(service.close)
        yield service


def _until_followed(master: Server) -> None:
    """A sentinel that does not find the replica at once looks for it ten seconds later."""
    deadline = time.monotonic() + 30
    raw: Any = redis.Redis.from_url(master.url)
    while raw.info("replication").get("slave0", {}).get("state") != "online":
        assert time.monotonic() < deadline, "the replica does not follow"
    raw.close()
