"""A change of the configuration or an admin's word: who is told, what, and when.

*The quiet notice* follows from comparing, not from counting events: each session remembers the
version of each key that its device was last told, and a sweep sends what differs in one message.
So a change of two keys is one notice, a change that does not reach a device's arm is none, a
promotion to what a canary device already has is none for it, and events that come twice or late
change nothing. A device that was away is compared at its next connection by the same rule.

*The visible notice* (`alert`) goes to the live ones and waits for the others until its time is
over; at most MAX_WAITING wait, the oldest gives way. Each device gets it once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from device_gateway import protocol
from device_gateway.config import KEYS, Client, versions
from device_gateway.hub import YIELD_EVERY, Hub, Known, Live, Reached
from device_gateway.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 100
MAX_TTL_SECONDS: Final = 30 * 24 * 3600
DEFAULT_TTL_SECONDS: Final = 24 * 3600
MAX_TEXT: Final = 500
LEVELS: Final = ("info", "warning", "error")


@dataclass(slots=True)
class Notice:
    """An admin's word, and who has had it."""

    message: str
    level: str = "info"
    emotion: str = "neutral"
    devices: tuple[str, ...] = ("*",)
    ttl: float = DEFAULT_TTL_SECONDS
    id: str = field(default_factory=lambda: f"no_{secrets.token_hex(8)}")
    got: set[str] = field(default_factory=set)
    until: float = 0.0

    def is_for(self, device: str) -> bool:
        """Whether the device is among those that it was written for."""
        return any(fnmatchcase(device, pattern) for pattern in self.devices)

    def frame(self) -> protocol.Message:
        """As the device shows it."""
        return protocol.alert(self.level, self.message, self.emotion)


def parse_notice(body: object) -> Notice:
    """
    Read `{"message", "emotion"?, "level"?, "target"?: {"devices": [pattern]}, "ttl"?: seconds}`.

    Raises:
        ValueError: says what is wrong with which field.
    """
    if not isinstance(body, Mapping):
        raise ValueError("a notice is a JSON object with a message")
    unknown = sorted(set(body) - {"message", "emotion", "level", "target", "ttl"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no field of a notice")
    return Notice(
        _message(body.get("message")),
        _level(body.get("level", "info")),
        _emotion(body.get("emotion", "neutral")),
        _patterns(body.get("target")),
        _ttl(body.get("ttl", DEFAULT_TTL_SECONDS)),
    )


def _message(given: object) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= MAX_TEXT:
        raise ValueError(f"message must be a text of 1 to {MAX_TEXT} characters")
    return given


def _level(given: object) -> str:
    if not isinstance(given, str) or given not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}")
    return given


def _emotion(given: object) -> str:
    if not isinstance(given, str) or len(given) > 32:
        raise ValueError("emotion must be a short word, for example neutral or happy")
    return given


def _ttl(given: object) -> float:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not 0 <= given <= MAX_TTL_SECONDS:  # type: ignore[operator]  # a number
        raise ValueError(f"ttl must be 0 to {MAX_TTL_SECONDS} seconds")
    return float(given)  # type: ignore[arg-type]  # a number


def _patterns(target: object) -> tuple[str, ...]:
    if target is None:
        return ("*",)
    devices = target.get("devices") if isinstance(target, Mapping) else None
    if not isinstance(devices, list) or not all(isinstance(d, str) for d in devices):
        raise ValueError('target must be {"devices": ["24:6f:28:*", ...]}')
    return tuple(device.lower() for device in devices[:1000])


def differences(told: Mapping[str, int], now: Mapping[str, int]) -> list[dict[str, Any]]:
    """The keys whose version is another than the device was told; null: the key is gone."""
    changed = sorted(key for key in told.keys() | now.keys() if told.get(key) != now.get(key))
    return [{"key": key, "version": now.get(key)} for key in changed]


class Notices:
    """Compares and tells; `run` is its one task."""

    def __init__(self, hub: Hub, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._changed = asyncio.Event()
        self._waiting: list[Notice] = []

    def follow(self, client: Client) -> None:
        """Hear of every change of the keys that mean something here."""
        for key in KEYS:
            client.on_change(key)(self._on_change)

    def _on_change(self, _: Any) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Sweep after each change; changes that come during a sweep share the next one."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            told = await self.sweep()
            if told.reached:
                away = told.known - len(self._hub)
                logger.info(
                    "config changed: told %d of %d known devices, %d get it when they connect",
                    *(told.reached, told.known, max(0, away)),
                )

    async def sweep(self) -> Reached:
        """Tell each live device what changed for it since it was last told."""
        reached = 0
        for number, live in enumerate(self._hub.live(), 1):
            reached += self.tell(live)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return Reached(reached, len(self._hub.memory))

    def tell(self, live: Live) -> bool:
        """Send the quiet notice if anything differs; whether the socket took one."""
        now = dict(versions(live.unit))
        changed = differences(live.told, now)
        if not changed or not self._hub.here(live):
            return False
        message = protocol.mcp_notification("config_changed", {"keys": changed})
        if not live.link.send(protocol.encode(message)):
            return False
        live.told = now
        self._metrics.notices.labels("config").inc()
        return True

    def welcome(self, live: Live, known: Known) -> None:
        """At a connection: what changed since the last one, and what waits for this device."""
        live.told = dict(versions(live.unit)) if known.told is None else dict(known.told)
        self.tell(live)
        now, device = self._clock(), live.session.device
        self._waiting = [notice for notice in self._waiting if notice.until > now]
        for notice in self._waiting:
            due = notice.is_for(device) and device not in notice.got
            if due and live.link.send(protocol.encode(notice.frame())):
                notice.got.add(device)
                self._metrics.notices.labels("alert").inc()

    async def announce(self, notice: Notice) -> dict[str, Any]:
        """
        Tell the live ones now and keep it for the others; says how many it reached.

        Raises:
            ProtocolFault: no device could read it; nothing is kept.
        """
        protocol.encode(notice.frame())  # what cannot be sent must not wait for who connects next
        notice.until = self._clock() + notice.ttl
        if notice.ttl:
            # Kept before it is sent: who connects meanwhile is told by `welcome`, and not twice.
            self._waiting = [*self._waiting, notice][-MAX_WAITING:]
        already = notice.got
        reached = await self._hub.broadcast(
            notice.frame(), lambda device: notice.is_for(device) and device not in already
        )
        notice.got |= reached.devices
        self._metrics.notices.labels("alert").inc(reached.reached)
        waiting = sum(1 for d in self._hub.memory if notice.is_for(d) and d not in notice.got)
        return {
            "id": notice.id,
            "reached": len(notice.got),
            "known": len(notice.got) + waiting,
            "waiting": waiting if notice.ttl else 0,
        }
