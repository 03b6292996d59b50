"""Who listens on a port of this machine, for an error that can be acted on."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from client_sdk.errors import SettingInvalid
from config_center.settings import Listen

_LISTENING = "0A"


def require_free(listen: Listen, variable: str, beside: str = "") -> None:
    """
    Raise SettingInvalid that names whoever has the port, and another port to take; ``beside`` is
    what else the line to type says.
    """
    if listen.port == 0:
        return
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingInvalid(f"cannot listen on {listen}: {error.strerror}") from error
            other = Listen(listen.host, listen.port + 10 if listen.port <= 65_525 else 0)
            raise SettingInvalid(
                f"port {listen.port} is in use{_owner(listen.port)}: "
                f"make run {beside}{variable}={other}"
            ) from error


def _owner(port: int) -> str:
    inodes = _inodes(port)
    for process in Path("/proc").iterdir() if inodes else ():
        if process.name.isdigit() and _has_socket(process, inodes):
            return f" by pid {process.name}{_command(process)}"
    return ""


def _command(process: Path) -> str:
    try:
        raw = (process / "cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return ""
    return f" ({raw.replace(bytes(1), b' ').decode('utf-8', 'replace').strip()[:80]})"


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        for line in path.read_text("ascii").splitlines()[1:] if path.is_file() else ():
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _has_socket(process: Path, inodes: set[str]) -> bool:
    try:
        return any(_target(fd) in inodes for fd in (process / "fd").iterdir())
    except OSError:  # it ended meanwhile, or is another user's
        return False


def _target(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except OSError:  # closed meanwhile; the next one may be it
        return ""
