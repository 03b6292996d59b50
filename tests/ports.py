"""A port for a server that is told where to listen, and comes back there."""

from __future__ import annotations

import contextlib
import random
import socket

# Below those that systems hand out by themselves: one of these is not taken by whoever connects
# somewhere between our look and the server's start.
_OURS = range(12_000, 32_000)


def free_port() -> int:
    """A port on which nobody listens now."""
    for port in random.sample(_OURS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port")
