"""What a client says of itself: at once when there is news, seldom when there is none."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from client_sdk.driver import Driver
from client_sdk.outcomes import Applied, Measured, Outcome, Refusal
from client_sdk.plan import Plan
from client_sdk.replica import Replica
from client_sdk.reporting import Reporter
from client_sdk.reports import Report
from client_sdk.route import Pace
from client_sdk.serving import Serving
from client_sdk.steps import Timing
from tests.client_sdk.serving_world import World
from tests.client_sdk.wire import Wire, no_list
from tests.history import History, put, verifier
from tests.until import until


class Reporting:
    """A reporter behind a driver whose path is a list."""

    def __init__(self, wire: Wire, serving: Serving, reporter: Reporter) -> None:
        self.wire, self.serving, self.reporter = wire, serving, reporter

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, wire: Wire, home: Path, every: float) -> AsyncIterator[Reporting]:
        timing = Timing(silence=60.0)
        plan = Plan.complete(
            url="http://127.0.0.1:1", namespace=None, instance="gw-1", labels=None,
            token="cc_token", trust=None, secret_key=None, state=home, timeout=1.0, defaults=None,
            timing=timing, pace=Pace(), report_every=every,
        )  # fmt: skip
        served: list[object] = []

        async def serve(pending: object) -> None:
            served.append(pending)

        serving = World().serving
        reporter = Reporter(plan, serving)
        replica = Replica("default", verifier(), timing=timing)
        driver = Driver(replica, [lambda: wire], serve, reporter.complain, no_list)
        reporter.start(driver)
        driver.start()
        try:
            await until(lambda: served)
            yield cls(wire, serving, reporter)
        finally:
            await driver.close()
            await reporter.close()

    def said(self, number: int = -1) -> Report:
        return Report.decode(self.wire.reports[number])

    async def next(self) -> dict[str, Any]:
        count = len(self.wire.reports)
        await until(lambda: len(self.wire.reports) > count)
        return dict(self.said().body)


def history(value: int = 1) -> History:
    made = History(ns="default")
    made.add(put("k", value))
    return made


async def test_an_instance_complains_of_another_history_with_its_own_head(tmp_path: Path) -> None:
    async with Reporting.of(Wire(history()), tmp_path, 60.0) as reporting:
        reporting.wire.send(history(2).head)
        await until(lambda: reporting.wire.reports)

    said = reporting.said().body["complaint"]
    assert said["reason"] == "another history at our position"


async def test_with_nothing_to_tell_it_reports_seldom(tmp_path: Path) -> None:
    async with Reporting.of(Wire(history()), tmp_path, 0.02) as reporting:
        while (await reporting.next())["stale"]:  # it was quicker than what it reads
            pass
        told, send = [], reporting.wire.send_report

        async def noting(instance: str, frame: bytes) -> None:
            told.append(reporting.reporter._told_at)  # when the one before was decided on
            await send(instance, frame)

        reporting.wire.send_report = noting  # type: ignore[method-assign]
        await until(lambda: len(told) >= 4)

    full = [Report.decode(each).body["full"] for each in reporting.wire.reports]
    assert full == [True] + [False] * (len(full) - 1)
    apart = [later - one for one, later in itertools.pairwise(told)]
    assert min(apart) >= 6 * 0.02, apart


async def test_how_turns_went_and_who_came_is_news(tmp_path: Path) -> None:
    async with Reporting.of(Wire(history()), tmp_path, 0.02) as reporting:
        await reporting.next()
        reporting.serving.on_measured(Measured("unit", "turn", ok=True, seconds=0.5))

        said = await reporting.next()

    assert said["outcomes"] == [
        {"rollout": None, "arm": "stable", "name": "turn", "ok": 1, "failed": 0, "seconds": 0.5}
    ]


async def test_what_was_measured_outlives_an_embedder_whose_table_cannot_be_read(
    tmp_path: Path,
) -> None:
    async with Reporting.of(Wire(history()), tmp_path, 0.02) as reporting:
        await reporting.next()
        reader = reporting.reporter
        asked: list[int] = []

        def rows() -> list[dict[str, Any]]:
            asked.append(1)
            if len(asked) == 1:
                raise RuntimeError("it changed while it was read")
            return []

        reader.devices = rows
        reporting.serving.on_measured(Measured("unit", "turn", ok=True, seconds=0.5))

        said = await reporting.next()

    assert (len(asked) >= 2, [row["ok"] for row in said["outcomes"]]) == (True, [1])


class Longest(random.Random):
    """Says the longest that may be waited, and that nobody has to."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append(b)
        return a


async def test_a_refusal_is_told_before_others_tell_what_they_applied(tmp_path: Path) -> None:
    refusal = Refusal(frozenset({"k"}), "k", 1, "stable", "build", "it raised")
    applied = Applied("k", 1, "stable")
    async with Reporting.of(Wire(history()), tmp_path, 60.0) as reporting:
        rng = reporting.reporter._rng = Longest()
        for outcome in (Outcome(applied=(applied,)), Outcome(refused=(refusal,))):
            reporting.reporter.tell(outcome)
            await until(lambda: not reporting.reporter._soon.is_set())

    assert rng.bounds == [0.3, 0.1]
