"""
One owner for one directory: a lock file that the kernel lets go of when its holder dies.

``flock`` and not a pid file, because a pid file outlives a kill -9 and its number may by then
belong to somebody else. The pid inside the file is only there so that the refusal can name the
holder.

The lock belongs to the open file, not to the process: whoever inherits the descriptor holds it too.
The embedded store uses that (its server inherits one), and an owner must therefore never leak it:
descriptors made by Python are not inherited unless they are passed on purpose.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from client_sdk.errors import StateInUse

if TYPE_CHECKING:
    from pathlib import Path


class OwnerLock:
    """A held lock: made by :meth:`acquire`, let go by :meth:`release` or by the process's end."""

    __slots__ = ("fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def acquire(cls, path: Path, what: str) -> OwnerLock:
        """
        Take the lock file ``path`` without waiting.

        ``what`` names the thing for the refusal, for example ``the data directory /srv/cc``. Raises
        StateInUse with the pid of the holder.
        """
        lock = cls.try_acquire(path)
        if lock is None:
            holder = holder_of(path)
            raise StateInUse(
                f"{what} is in use by "
                f"{f'pid {holder}' if holder else 'another process'}; stop that one first, or give "
                "this one a data directory of its own"
            )
        lock.write_pid(os.getpid())
        return lock

    @classmethod
    def try_acquire(cls, path: Path) -> OwnerLock | None:
        """The lock, or None when somebody holds it. Leaves the pid in the file alone."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    def write_pid(self, pid: int) -> None:
        """Say in the file who holds it."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, b"%d\n" % pid, 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two holders lock two files of one name."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def holder_of(path: Path) -> int | None:
    """The pid that a lock file names, or None when it names none."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.strip().isdigit() else None
