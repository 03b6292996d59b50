"""
Who runs what: instances and devices of a namespace, as they report. Pure; pass ``now`` in seconds.

Reports are deltas: what a report does not name stays as it was, a key told as null is gone, and a
new incarnation or ``full`` starts anew. What nobody repeats expires: an instance after a day, its
devices after a quarter of an hour. Both are bounded, and of a row only known fields are kept, so a
fleet that reports nonsense costs a bound, not the center.

A report is signed, so it cannot be forged, but whoever writes to the store can play an old one
again. Within an incarnation ``seq`` must grow; another incarnation must have spoken later by its own
clock (a time in the future counts as now, else one wrong clock would lock its name for a day). A
report that lay in a stream counts from when it was made: a center that starts and reads yesterday's
reports does not say that their devices are here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from client_sdk.reports import Report

MAX_INSTANCES = 10_000
MAX_DEVICES = 100_000
INSTANCE_SECONDS = 24 * 3600.0
DEVICE_SECONDS = 15 * 60.0
MAX_KEYS = 2 * 20_000  # both arms of every key that a namespace may have
_CANARY = "@canary"
_PLAIN = ("position", "sdk", "transport", "stale", "labels", "started_at")
_ROW = ("device", "session", "since", "firmware", "state", "turns", "keys")
_ROW_BYTES = 4096


@dataclass(slots=True)
class Instance:
    """One process by name, and the devices it last told of; ``ts`` in ms, ``heard_at`` in s."""

    name: str
    incarnation: str
    seq: int = 0
    ts: int = 0
    heard_at: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "instance": self.name,
            "incarnation": self.incarnation,
            "heard_at": timestamp(int(self.heard_at * 1000)),
            **self.about,
            "keys": self.keys,
            "devices": len(self.devices),
        }


class Fleet:
    """All instances of a namespace."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}

    def hear(self, report: Report, now: float, *, live: bool = True) -> bool:
        """
        Take a verified report; False when it is older than what is known. ``live``: it came just
        now from the instance itself, not out of a stream.
        """
        heard_at = now if live else min(now, report.ts / 1000)
        known = self._instances.get(report.instance)
        if now - heard_at > INSTANCE_SECONDS or (known is not None and not _is_news(report, known)):
            return False
        if known is None and not self._has_room(now):
            return False
        begins = known is None or known.incarnation != report.incarnation
        if known is None or begins or report.body.get("full"):
            known = Instance(report.instance, report.incarnation)
            self._instances[report.instance] = known
        known.seq, known.ts = report.seq, min(report.ts, int(now * 1000))
        known.heard_at = heard_at
        self._merge(known, report.body)
        return True

    def expire(self, now: float) -> None:
        """Forget who was not heard of for long."""
        for name, instance in list(self._instances.items()):
            if now - instance.heard_at > INSTANCE_SECONDS:
                del self._instances[name]
            elif now - instance.heard_at > DEVICE_SECONDS:
                instance.devices.clear()

    def instances(self) -> list[Instance]:
        """By name."""
        return [self._instances[name] for name in sorted(self._instances)]

    def devices(self) -> Iterator[tuple[str, Instance, dict[str, Any]]]:
        """(device, instance, row)."""
        for instance in self.instances():
            for device, row in instance.devices.items():
                yield device, instance, row

    def units(self, keys: Mapping[str, int | None], unit: str) -> dict[str, int]:
        """
        How far a canary got. ``keys``: key -> the canary's version. ``assigned`` units are in the
        canary arm; of them ``applied`` run its versions, on ``refused`` an instance refused them,
        ``silent`` did not say.
        """
        counts = {"assigned": 0, "applied": 0, "refused": 0, "silent": 0}
        for instance in self._instances.values():
            verdict = _verdict(instance.keys, keys)
            number = 1 if unit == "instance" else _in_canary(instance.devices, keys)
            if unit == "instance" and verdict == "silent":
                continue
            counts["assigned"] += number
            counts[verdict] += number
        return counts

    def _has_room(self, now: float) -> bool:
        if len(self._instances) >= MAX_INSTANCES:
            self.expire(now)
        return len(self._instances) < MAX_INSTANCES

    def _merge(self, known: Instance, body: Mapping[str, Any]) -> None:
        known.about.update({name: body[name] for name in _PLAIN if name in body})
        keys = body.get("keys")
        if isinstance(keys, dict):
            for key, about in keys.items():
                if about is None:
                    known.keys.pop(key, None)
                elif isinstance(about, dict) and (key in known.keys or len(known.keys) < MAX_KEYS):
                    known.keys[key] = about
        devices = body.get("devices")
        if isinstance(devices, dict):
            self._merge_devices(known, devices)

    def _merge_devices(self, known: Instance, devices: Mapping[str, Any]) -> None:
        room = MAX_DEVICES - sum(len(each.devices) for each in self._instances.values())
        for row in filter(None, map(_row, _listed(devices.get("rows")))):
            if row["device"] not in known.devices:
                if room <= 0:
                    continue
                room -= 1
            known.devices[row["device"]] = row
        for device in _listed(devices.get("gone")):
            if isinstance(device, str):
                known.devices.pop(device, None)


def _is_news(report: Report, known: Instance) -> bool:
    if report.incarnation == known.incarnation:
        return report.seq > known.seq
    return report.ts > known.ts


def _listed(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []


def _row(told: Any) -> dict[str, Any] | None:
    if not isinstance(told, dict) or not isinstance(told.get("device"), str):
        return None
    row = {name: told[name] for name in _ROW if name in told}
    keys = row.get("keys", {})
    sound = isinstance(keys, dict) and all(isinstance(about, dict) for about in keys.values())
    return row if sound and len(orjson.dumps(row)) <= _ROW_BYTES else None


def _verdict(told: Mapping[str, dict[str, Any]], keys: Mapping[str, int | None]) -> str:
    states = []
    for key, version in keys.items():
        about = told.get(key + _CANARY, {})
        states.append(about.get("state") if about.get("version") == version else None)
    if "refused" in states:
        return "refused"
    return "applied" if states and all(state == "applied" for state in states) else "silent"


def _in_canary(devices: Mapping[str, dict[str, Any]], keys: Mapping[str, int | None]) -> int:
    count = 0
    for row in devices.values():
        told = row.get("keys", {})
        count += any(told.get(key, {}).get("arm") == "canary" for key in keys)
    return count
