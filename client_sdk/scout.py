"""
The way back to a preferred path: it must prove itself before the present one is let go.

A better path is opened beside the one in use and listened to. Only one that showed life for the
whole time of proof is handed over, open and subscribed; the client then moves to it and catches up,
as after any subscription. So a preferred path that comes and goes costs the client nothing.
Rejected: to leave the working path after a while and hope.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from client_sdk.errors import TransportDown
from client_sdk.waiting import in_time

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from client_sdk.steps import Timing
    from client_sdk.transports.base import Transport

log = logging.getLogger(__name__)


async def scout(
    better: Sequence[int],
    connect: Sequence[Callable[[], Transport]],
    timing: Timing,
    proof: float,
    rng: random.Random,
) -> tuple[int, Transport]:
    """
    Wait until one of the paths ``better`` held for ``proof`` seconds (20 % jitter).

    Returns its index and the open transport, which the caller owns from then on.
    """
    while True:
        for index in better:
            transport = connect[index]()
            try:
                await _prove(transport, timing, proof * rng.uniform(0.8, 1.2))
                return index, transport
            except Exception as error:  # whatever it is, the path in use is not to suffer from it
                log.debug("path %d is not back yet: %s", index, error)
                await transport.close()
            except BaseException:
                await transport.close()
                raise
        await asyncio.sleep(rng.uniform(0.0, proof))


async def _prove(transport: Transport, timing: Timing, seconds: float) -> None:
    """Listen for ``seconds``; silence is answered with a ping, as on the path in use."""
    await transport.open()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        if not await _heard(transport, min(left, timing.silence)) and left > timing.silence:
            await transport.ping()
            if not await _heard(transport, timing.pong):
                raise TransportDown("no answer to PING")


async def _heard(transport: Transport, within: float) -> bool:
    """True when there was an event in time."""
    try:
        await in_time(transport.receive(), within)
    except asyncio.TimeoutError:
        return False
    return True
