"""
What a client tells the center about itself: versions applied and refused, how turns went, who is
here.

Reports are deltas, sent when something was applied or refused, else every few seconds when there is
something to tell, and seldom otherwise; only with a token (it is the identity). A fleet that
applies the same change does not report it in the same moment. One that does not arrive is followed
by a whole one, made of the present: nothing queues up. Only how turns went is summed until it has
arrived, because it is told once.

A path that shows less than what was applied here, or something else at the same position, is
complained of: the report then carries our head record, whose signature proves what was lost.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from client_sdk.errors import ConfigError, TransportDown
from client_sdk.reports import Report, report_key
from client_sdk.waiting import ended, set_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from client_sdk.driver import Driver
    from client_sdk.outcomes import Measured, Outcome, Refusal
    from client_sdk.plan import Plan
    from client_sdk.serving import Serving
    from client_sdk.signing import SigningKey
    from client_sdk.state import Entry

log = logging.getLogger(__name__)

_MAX_OUTCOMES = 1000
_REFUSED_PAUSE = 60.0
# Of the interval: over which the reports of a fleet are spread. What was applied can wait until the
# others have it too: a thousand reports take as long as bringing the change to a thousand.
_APART = 0.3
_APART_REFUSED = 0.1
_IDLE = 6  # intervals without anything to tell
_CANARY = "@canary"
_MOST_KEYS = 1000  # in a whole one: as many as a center keeps of an instance


class Reporter:
    """Owns the task that reports. ``devices`` is set by who holds them; ``lost`` counts reports."""

    def __init__(self, plan: Plan, serving: Serving) -> None:
        self.devices: Callable[[], Sequence[Mapping[str, Any]]] = list
        self.lost = 0
        self._plan = plan
        self._serving = serving
        self._driver: Driver | None = None
        self._incarnation = secrets.token_hex(8)
        self._seq = 0
        self._started_at = time.time_ns() // 1_000_000
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._whole = True
        self._outcomes: dict[tuple[str, str, str], list[float]] = {}
        self._touched: set[str] = set()
        self._told_refused: dict[str, Any] = {}
        self._told_devices: dict[str, Mapping[str, Any]] = {}
        self._told_about: Mapping[str, Any] = {}
        self._told_at = 0.0
        self._rng = random.Random()
        self._apart = _APART
        self._key: SigningKey | None = None  # derived at the first report: it takes a moment
        self._complaint: str | None = None
        serving.on_measured = self._measure

    def start(self, driver: Driver) -> None:
        """Begin to report, if there is a token to do it with."""
        self._driver = driver
        if self._plan.token is not None:
            self._task = asyncio.create_task(self._report_for_ever(), name="config reports")

    def tell(self, outcome: Outcome) -> None:
        """Something was applied or refused: report it now."""
        self._touched |= outcome.touched
        if outcome.refused:
            self._apart = _APART_REFUSED
        if outcome.applied or outcome.refused:
            self._soon.set()

    def complain(self, reason: str) -> None:
        """The path shows what cannot be: report it now, with the proof."""
        log.error("%s", reason)
        self._complaint, self._apart = reason, _APART_REFUSED
        self._soon.set()

    async def close(self) -> None:
        """Stop."""
        await ended(self._task)

    def _measure(self, measured: Measured) -> None:
        for rollout, arm in measured.arms or (("", "stable"),):
            key = (rollout, arm, measured.name)
            if key not in self._outcomes and len(self._outcomes) >= _MAX_OUTCOMES:
                continue
            sums = self._outcomes.setdefault(key, [0, 0, 0.0])
            sums[0 if measured.ok else 1] += 1
            sums[2] += measured.seconds

    async def _report_for_ever(self) -> None:
        refused = False
        while True:
            await set_within(self._soon, self._plan.report_every)
            if self._soon.is_set():
                apart = self._rng.uniform(0.0, self._apart)
                await asyncio.sleep(apart * self._plan.report_every)
            self._soon.clear()
            self._apart = _APART
            try:
                await self._report()
                refused = False
            except TransportDown as error:
                if error.permanent and not refused:
                    log.warning("reports are refused, and tried once a minute: %s", error)
                if not error.permanent:
                    log.info("a report did not arrive: %s", error)
                refused = error.permanent
            except ConfigError as error:
                log.warning("reports are refused: %s", error)
            except Exception:  # reporting must never end because of one report
                log.exception("a report failed")
            await asyncio.sleep(_REFUSED_PAUSE if refused else self._plan.report_every / 20)

    async def _report(self) -> None:
        driver = self._driver
        if driver is None or driver.transport is None:
            return
        refused, devices = self._refused(), self._devices_now()  # the embedder's code may raise
        about, now = self._about(driver), time.monotonic()
        outcomes, self._outcomes = self._outcomes, {}
        complaint, self._complaint = self._complaint, None
        whole, self._whole = self._whole, True  # until it has arrived
        news = {
            "keys": self._keys(refused, whole=whole),
            "devices": self._devices({} if whole else self._told_devices, devices),
            "outcomes": _summed(outcomes),
        }
        if complaint is not None:
            news["complaint"] = {"reason": complaint, "head": _proof(driver)}
        told_lately = now - self._told_at < _IDLE * self._plan.report_every
        if told_lately and not whole and about == self._told_about and not _tells(news):
            self._whole = False
            return
        body = {**about, "full": whole, **news}
        try:
            await driver.transport.send_report(self._plan.instance, self._signed(body))
        except BaseException:
            self._put_back(outcomes, complaint)
            self.lost += 1
            raise
        self._whole = False
        self._told_refused, self._told_devices = refused, devices
        self._told_about, self._told_at = about, now

    def _signed(self, body: Mapping[str, Any]) -> bytes:
        plan = self._plan
        self._seq += 1
        now = time.time_ns() // 1_000_000
        report = Report(plan.instance, self._incarnation, self._seq, now, plan.namespace, body)
        if self._key is None:
            self._key = report_key(plan.token or "")
        return report.encode(self._key)

    def _about(self, driver: Driver) -> dict[str, Any]:
        from client_sdk import __version__

        return {
            "position": str(self._serving.position),
            "sdk": __version__,
            "transport": "" if driver.transport is None else driver.transport.name,
            "stale": driver.replica.is_stale(time.monotonic()),
            "labels": self._plan.labels,
            "started_at": self._started_at,
        }

    def _put_back(
        self, outcomes: Mapping[tuple[str, str, str], list[float]], complaint: str | None
    ) -> None:
        """Keep what did not arrive for the next report."""
        self._complaint = self._complaint or complaint
        for key, sums in outcomes.items():
            present = self._outcomes.get(key, [0, 0, 0.0])
            both = zip(sums, present)  # noqa: B905  # three numbers each
            self._outcomes[key] = [one + other for one, other in both]

    def _keys(self, refused: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        """
        What became of keys since the last report, ``None`` for what is gone; of a whole one all
        that a center keeps, those first that are on their way or were refused. Costs what changed,
        not what there is.
        """
        touched, self._touched = self._touched, set()
        if whole:
            touched = {entry.key for entry in self._serving.entries()}
        rows = self._applied(touched | {key.removesuffix(_CANARY) for key in self._told_refused})
        on_their_way = {key: row for key, row in rows.items() if key.endswith(_CANARY)}
        keys = {**refused, **on_their_way, **rows, **refused}
        if not whole:
            return keys
        there = ((key, row) for key, row in keys.items() if row is not None)
        return dict(islice(there, _MOST_KEYS))

    def _applied(self, keys: Iterable[str]) -> dict[str, Any]:
        serving = self._serving.current.offer.entry
        rows: dict[str, Any] = {}
        for key in keys:
            entry = serving(key)
            rows.update({key: None, key + _CANARY: None})
            if entry is not None and entry.exists:
                rows.update(_applied(entry))
        return rows

    def _refused(self) -> dict[str, Any]:
        refused: dict[str, Any] = {}
        for refusal in self._serving.refused():
            refused.update(_refused(refusal))
        return refused

    def _devices_now(self) -> dict[str, Mapping[str, Any]]:
        return {str(row["device"]): row for row in self.devices()}

    def _devices(self, told: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        rows = [row for device, row in now.items() if told.get(device) != row]
        return {"rows": rows, "gone": [device for device in told if device not in now]}


def _tells(news: Mapping[str, Any]) -> bool:
    """True when there is anything in it."""
    return any(
        any(part.values()) if name == "devices" else bool(part) for name, part in news.items()
    )


def _summed(outcomes: Mapping[tuple[str, str, str], Sequence[float]]) -> list[dict[str, Any]]:
    return [
        {"rollout": rollout or None, "arm": arm, "name": name, "ok": ok, "failed": failed,
         "seconds": seconds}
        for (rollout, arm, name), (ok, failed, seconds) in outcomes.items()
    ]  # fmt: skip


def _proof(driver: Driver) -> str | None:
    head = driver.head
    return None if head is None else base64.b64encode(head.encode(bodies=False)).decode("ascii")


def _applied(entry: Entry) -> dict[str, Any]:
    keys: dict[str, Any] = {
        entry.key: {"version": entry.version, "arm": "stable", "state": "applied"}
    }
    if entry.rollout is not None:
        content = entry.rollout.content
        keys[entry.key + _CANARY] = {
            "version": None if content is None else content.version,
            "arm": "canary",
            "state": "applied",
            "rollout": entry.rollout.id,
        }
    return keys


def _refused(refusal: Refusal) -> dict[str, Any]:
    suffix = _CANARY if refusal.arm == "canary" else ""
    about = {
        "version": refusal.version,
        "arm": refusal.arm,
        "state": "refused",
        "step": refusal.step,
        "reason": refusal.reason,
        "rollout": refusal.rollout,
    }
    return {key + suffix: about for key in refusal.keys}
