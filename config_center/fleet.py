"""
Who runs what: instances and devices of a namespace, as they report. Pure; pass ``now`` in seconds.

Reports are deltas: what a report does not name stays as it was, and a new incarnation or ``full``
starts anew. What nobody repeats expires: an instance after a day, its devices after a quarter of an
hour. Both are bounded, so a fleet that reports nonsense costs a bound, not the center.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from client_sdk.reports import Report

MAX_INSTANCES = 10_000
MAX_DEVICES = 100_000
INSTANCE_SECONDS = 24 * 3600.0
DEVICE_SECONDS = 15 * 60.0
SILENT_SECONDS = 90.0  # a client that has nothing to tell says so every 30
_MAX_KEYS = 1000
_CANARY = "@canary"
_PLAIN = ("position", "sdk", "transport", "stale", "labels", "started_at")


@dataclass(slots=True)
class Instance:
    """One process by name, and the devices it last told of."""

    name: str
    incarnation: str
    seq: int
    heard_at: float
    about: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "instance": self.name,
            "incarnation": self.incarnation,
            **self.about,
            "last_seen": timestamp(round(self.heard_at * 1000)),
            "keys": self.keys,
            "devices": len(self.devices),
        }


@dataclass(slots=True)
class Standing:
    """Instances by name that do not follow; ``refusing``: name -> keys that it refused."""

    total: int = 0
    stale: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    refusing: dict[str, list[str]] = field(default_factory=dict)


class Fleet:
    """All instances of a namespace."""

    def __init__(self) -> None:
        self._instances: dict[str, Instance] = {}

    def hear(self, report: Report, now: float) -> bool:
        """Take a verified report; False when it is older than what is known."""
        known = self._instances.get(report.instance)
        fresh = known is None or known.incarnation != report.incarnation
        if known is not None and not fresh and report.seq <= known.seq:
            return False
        if known is None and not self._has_room(now):
            return False
        if known is None or fresh or report.body.get("full"):
            known = Instance(report.instance, report.incarnation, report.seq, now)
            self._instances[report.instance] = known
        known.seq, known.heard_at = report.seq, now
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

    def devices(self) -> list[tuple[str, Instance, dict[str, Any]]]:
        """
        (device, instance, row), each device once: one that has just changed its gateway is told of
        by two, and whoever was heard last is right.
        """
        found: dict[str, tuple[str, Instance, dict[str, Any]]] = {}
        for instance in sorted(self._instances.values(), key=lambda each: each.heard_at):
            found.update({name: (name, instance, row) for name, row in instance.devices.items()})
        return [found[name] for name in sorted(found)]

    def standing(self, now: float, is_late: Callable[[str], bool]) -> Standing:
        """
        Who does not follow. ``is_late(position)``: something newer has been there for long. One
        that is silent is counted as nothing else, because what it said last is old.
        """
        standing = Standing(total=len(self._instances))
        for name, instance in sorted(self._instances.items()):
            if now - instance.heard_at > SILENT_SECONDS:
                standing.silent.append(name)
                continue
            if instance.about.get("stale") is True:
                standing.stale.append(name)
            if is_late(str(instance.about.get("position", ""))):
                standing.behind.append(name)
            rows = instance.keys.items()
            if refused := [key for key, about in rows if about.get("state") == "refused"]:
                standing.refusing[name] = sorted({key.removesuffix(_CANARY) for key in refused})
        return standing

    def may_serve(self, key: str, versions: Collection[int]) -> list[str]:
        """
        The instances that serve one of these versions to everybody, and those that refused what is
        newer: which one they went on with they do not say.
        """
        told = ((name, each.keys.get(key, {})) for name, each in sorted(self._instances.items()))
        return [
            name
            for name, about in told
            if about.get("state") == "refused" or about.get("version") in versions
        ]

    def units(
        self,
        keys: Mapping[str, int | None],
        unit: str,
        chosen: Callable[[str], bool] = lambda device: False,
    ) -> dict[str, int]:
        """
        How far a canary got. ``keys``: key -> the canary's version. ``assigned`` units are in the
        canary arm, or ``chosen`` for it while their instance refused it and goes on with the stable
        version; of them ``applied`` run its versions, on ``refused`` an instance refused them,
        ``silent`` did not say.
        """
        counts = {"assigned": 0, "applied": 0, "refused": 0, "silent": 0}
        for instance in self._instances.values():
            verdict = _verdict(instance.keys, keys)
            number = 1 if unit == "instance" else _in_canary(instance.devices, keys, chosen)
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
                elif isinstance(about, dict) and _has_place(known.keys, key, about):
                    known.keys[key] = about
        devices = body.get("devices")
        if isinstance(devices, dict):
            self._merge_devices(known, devices)

    def _merge_devices(self, known: Instance, devices: Mapping[str, Any]) -> None:
        room = MAX_DEVICES - sum(len(each.devices) for each in self._instances.values())
        for row in _listed(devices.get("rows")):
            if not isinstance(row, dict) or not isinstance(row.get("device"), str):
                continue
            if row["device"] not in known.devices:
                if room <= 0:
                    continue
                room -= 1
            known.devices[row["device"]] = row
        for device in _listed(devices.get("gone")):
            known.devices.pop(str(device), None)


def _has_place(rows: dict[str, dict[str, Any]], key: str, about: Mapping[str, Any]) -> bool:
    """Of too many keys one that serves as it should gives way to one that does not, or may not."""
    if key in rows or len(rows) < _MAX_KEYS:
        return True
    if _is_plain(key, about):
        return False
    plain = next((name for name, row in rows.items() if _is_plain(name, row)), None)
    if plain is not None:
        del rows[plain]
    return plain is not None


def _is_plain(key: str, about: Mapping[str, Any]) -> bool:
    return about.get("state") == "applied" and not key.endswith(_CANARY)


def _listed(rows: Any) -> list[Any]:
    return rows if isinstance(rows, list) else []


def _verdict(told: Mapping[str, dict[str, Any]], keys: Mapping[str, int | None]) -> str:
    states = []
    for key, version in keys.items():
        about = told.get(key + _CANARY, {})
        states.append(about.get("state") if about.get("version") == version else None)
    if "refused" in states:
        return "refused"
    return "applied" if states and all(state == "applied" for state in states) else "silent"


def _in_canary(
    devices: Mapping[str, dict[str, Any]],
    keys: Mapping[str, int | None],
    chosen: Callable[[str], bool],
) -> int:
    return sum(chosen(device) or _is_told(row, keys) for device, row in devices.items())


def _is_told(row: Mapping[str, Any], keys: Mapping[str, int | None]) -> bool:
    told = row.get("keys")
    if not isinstance(told, dict):
        return False
    arms = [told.get(key) for key in keys]
    return any(isinstance(arm, dict) and arm.get("arm") == "canary" for arm in arms)
