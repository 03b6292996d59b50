"""
Becomes another program that ends when its parent does: ``python -I -S leash.py PARENT LOCK_FD
CMD...``

A script of its own, executed between fork and the real server, because the two calls below must run
in the child: done in a ``preexec_fn`` they would run Python between fork and exec of a process with
threads, where any lock may be held for ever. It imports the standard library only.

1. It writes its pid into the lock file it inherited. The pid stays the same over ``exec`` and so
   does the lock, hence "the lock is held" and "this pid runs the server" are one fact.
2. ``PR_SET_PDEATHSIG``: the kernel sends SIGTERM when the *thread* that forked us ends (Linux
   only). The server then ends cleanly. Without it a server outlives a kill -9 of its owner.
3. A parent that died before step 2 is noticed by its pid.
"""

from __future__ import annotations

import os
import signal
import sys

NO_LOCK = "-"  # in place of LOCK_FD: a program that owns nothing
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv: list[str]) -> None:
    """Tie this process to its parent and replace it by the command."""
    parent, lock, command = int(argv[0]), argv[1], argv[2:]
    os.umask(0o077)
    if lock != NO_LOCK:
        os.ftruncate(int(lock), 0)
        os.pwrite(int(lock), b"%d\n" % os.getpid(), 0)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the owner of this program is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
