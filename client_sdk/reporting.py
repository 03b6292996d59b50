"""
What a client tells the center about itself: versions applied and refused, how turns went, who is
here.

Reports are deltas, sent when something was applied or refused and every few seconds otherwise, only
with a token (it is the identity). A report that does not arrive is made again from the present:
nothing queues up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from client_sdk.errors import ConfigError, TransportDown
from client_sdk.reports import Report, report_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from client_sdk.driver import Driver
    from client_sdk.outcomes import Measured, Outcome, Refusal
    from client_sdk.serving import Serving
    from client_sdk.state import Entry

log = logging.getLogger(__name__)

_MAX_OUTCOMES = 1000
_CANARY = "@canary"


class Reporter:
    """Owns the task that reports. ``devices`` is set by who holds devices."""

    def __init__(self, plan: Any, serving: Serving, driver: Driver) -> None:
        self._plan = plan
        self._serving = serving
        self._driver = driver
        self._incarnation = secrets.token_hex(8)
        self._seq = 0
        self._started_at = time.time_ns() // 1_000_000
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._outcomes: dict[tuple[str, str, str], list[float]] = {}
        self._told_devices: dict[str, Mapping[str, Any]] = {}
        self._told: dict[str, Any] = {}
        self.devices: Callable[[], Sequence[Mapping[str, Any]]] = list
        serving.on_measured = self._measure

    def start(self) -> None:
        """Begin to report, if there is a token to do it with."""
        if self._plan.token is not None:
            self._task = asyncio.create_task(self._report_for_ever(), name="config reports")

    def tell(self, outcome: Outcome) -> None:
        """Something was applied or refused: report it now."""
        if outcome.applied or outcome.refused:
            self._soon.set()

    async def close(self) -> None:
        """Stop."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=0.2)

    def _measure(self, measured: Measured) -> None:
        for rollout, arm in measured.arms or (("", "stable"),):
            key = (rollout, arm, measured.name)
            if key not in self._outcomes and len(self._outcomes) >= _MAX_OUTCOMES:
                continue
            sums = self._outcomes.setdefault(key, [0, 0, 0.0])
            sums[0 if measured.ok else 1] += 1
            sums[2] += measured.seconds

    async def _report_for_ever(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._soon.wait(), self._plan.report_every)
            self._soon.clear()
            try:
                await self._report()
            except TransportDown as error:
                self._told = {}
                log.info("a report did not arrive: %s", error)
            except ConfigError as error:
                log.warning("reports are refused: %s", error)
            except Exception:  # reporting must never end because of one report
                log.exception("a report failed")

    async def _report(self) -> None:
        transport = self._driver.transport
        if transport is None:
            return
        body = self._body(transport.name)
        self._seq += 1
        report = Report(
            self._plan.instance,
            self._incarnation,
            self._seq,
            time.time_ns() // 1_000_000,
            self._plan.namespace,
            body,
        )
        await transport.send_report(
            self._plan.instance, report.encode(report_key(self._plan.token))
        )
        self._told = body

    def _body(self, transport: str) -> dict[str, Any]:
        from client_sdk import __version__

        outcomes, self._outcomes = self._outcomes, {}
        body: dict[str, Any] = {
            "full": not self._told,
            "position": str(self._serving.position),
            "sdk": __version__,
            "transport": transport,
            "stale": False,
            "labels": self._plan.labels,
            "started_at": self._started_at,
            "keys": self._keys(),
            "outcomes": [
                {"rollout": r or None, "arm": a, "name": n, "ok": s[0], "failed": s[1],
                 "seconds": s[2]}
                for (r, a, n), s in outcomes.items()
            ],
            "devices": self._devices(whole=not self._told),
        }  # fmt: skip
        return body

    def _keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        state = self._driver.replica.state
        serving = self._serving.current.offer.entry
        for key in () if state is None else state.entries:
            entry = None if key.startswith("_") else serving(key)
            if entry is not None and entry.exists:
                keys.update(_applied(entry))
        for refusal in self._serving.refused():
            keys.update(_refused(refusal))
        return keys

    def _devices(self, *, whole: bool) -> dict[str, Any]:
        now = {str(row["device"]): row for row in self.devices()}
        told = {} if whole else self._told_devices
        rows = [row for device, row in now.items() if told.get(device) != row]
        gone = [device for device in told if device not in now]
        self._told_devices = now
        return {"rows": rows, "gone": gone}


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
