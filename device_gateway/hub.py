"""The sessions here now, the devices seen lately, and how a message reaches many of them.

*A broadcast is one encode and one write per device*, straight onto the transport: no coroutine, no
wait, so that one device that does not read cannot delay the others. What it does not read is
bounded instead: above `write_buffer_bytes` it is cut. Awaiting each send stalls everybody behind
the slow one (measured: 64 of 200 notices), a task with a deadline each costs two to three times the
time. The loop is given back every hundred sends: 5,000 of them take 50 ms, and others are speaking.

Writing beside aiohttp's own writer is safe while nothing is compressed: it puts whole frames onto
the transport without an await between, and so do we.

*Reached is not read.* The device acknowledges nothing; `reached` counts live sockets that took the
bytes. An idle ESP32 has no socket at all, hence `known`: every device seen in the last days.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import WSCloseCode, web

from device_gateway import protocol
from device_gateway.config import Unit, effective
from device_gateway.session import Session

YIELD_EVERY: Final = 100
CLOSE_SECONDS: Final = 1.0
"""The ESP32 never answers a Close frame; who does, does so within a round trip."""


class Link:
    """One WebSocket as far as sending goes."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport, cap: int) -> None:
        self._ws = ws
        self._transport = transport
        self._cap = cap
        self.why = "device"
        """Why the connection ended, for the metrics; the device's own doing unless we say so."""

    def send(self, frame: bytes) -> bool:
        """Hand the frame to the socket; False when it is closed or was cut for being slow."""
        if self._ws.closed or self._transport.is_closing():
            return False
        self._transport.write(frame)
        if self._transport.get_write_buffer_size() <= self._cap:
            return True
        self.cut("slow")
        return False

    def cut(self, why: str) -> None:
        """End the connection now, without a word."""
        self.why = why
        self._transport.abort()

    async def close(self, why: str, code: int = WSCloseCode.OK) -> None:
        """Say goodbye, wait at most CLOSE_SECONDS for an answer, hang up."""
        self.why = why
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ws.close(code=code, message=why.encode())
        except TimeoutError:
            pass
        finally:
            self._transport.abort()


@dataclass(slots=True)
class Live:
    """A session that is here now."""

    session: Session
    link: Link
    unit: Unit
    since: float
    heard: float
    """When the device last said anything, monotonic: a clock that is set ends no conversation."""
    told: dict[str, int] = field(default_factory=dict)
    """The version of each key that the device has been told, or started with."""

    def row(self) -> dict[str, Any]:
        """What operators and the center see of it."""
        keys = {k: {"version": r.version, "arm": r.arm} for k, r in effective(self.unit).items()}
        session = self.session
        return {
            "device": session.device,
            "session": session.id,
            "since": self.since,
            "state": str(session.state),
            "turns": session.turns,
            "keys": keys,
        }


@dataclass(slots=True)
class Known:
    """A device that was here."""

    seen: float
    attributes: dict[str, str] = field(default_factory=dict)
    told: dict[str, int] | None = None


class Memory:
    """Devices seen lately, the longest unseen first; bounded by number and age. Pure."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._known: OrderedDict[str, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def get(self, device: str) -> Known | None:
        """What is remembered of the device."""
        return self._known.get(device)

    def see(self, device: str, now: float, attributes: Mapping[str, str] | None = None) -> Known:
        """Remember that the device was here, and what is known of it."""
        known = self._known.setdefault(device, Known(now))
        known.seen = now
        known.attributes.update(attributes or {})
        self._known.move_to_end(device)
        self.forget(now)
        return known

    def forget(self, now: float) -> None:
        """Drop who stayed away too long, and the oldest above the limit."""
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= self._limit and oldest.seen >= now - self._seconds:
                return
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Reached:
    """How many live sockets took a message, of how many devices that it was for."""

    reached: int
    known: int
    devices: frozenset[str] = frozenset()
    """Who they are, where the caller has to remember it."""


class Hub:
    """The registry of one gateway; one live session per device."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._live: dict[str, Live] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, device: object) -> bool:
        return device in self._live

    def live(self) -> list[Live]:
        """The sessions here now, as a list that stays as it is while one awaits."""
        return list(self._live.values())

    def enter(self, live: Live) -> Live | None:
        """Take a session in; gives back the one that the same device had before."""
        earlier = self._live.get(live.session.device)
        self._live[live.session.device] = live
        return earlier

    def leave(self, live: Live) -> None:
        """The session ended; a newer one of the same device stays."""
        if self._live.get(live.session.device) is live:
            del self._live[live.session.device]

    def here(self, live: Live) -> bool:
        """Whether this is still the session of its device."""
        return self._live.get(live.session.device) is live

    def rows(self) -> list[dict[str, Any]]:
        """A row per session: device, session, since, state, turns, version and arm per key."""
        return [live.row() for live in self.live()]

    async def broadcast(self, message: protocol.Message, where: Callable[[str], bool]) -> Reached:
        """Send to every live device for which `where(device)` holds."""
        frame = protocol.encode(message)
        got: set[str] = set()
        for number, live in enumerate(self.live(), 1):
            if where(live.session.device) and self.here(live) and live.link.send(frame):
                got.add(live.session.device)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        known = sum(1 for device in self.memory if where(device))
        return Reached(len(got), known, frozenset(got))

    async def close_idle(self, before: float) -> None:
        """Close, all at once, the sessions not heard since `before` (monotonic seconds)."""
        idle = [live for live in self.live() if live.heard < before]
        await asyncio.gather(*(live.link.close("idle") for live in idle))

    async def close_all(self, why: str) -> None:
        """Close everything at once: one after another costs CLOSE_SECONDS each."""
        code = WSCloseCode.GOING_AWAY
        await asyncio.gather(*(live.link.close(why, code) for live in self.live()))
