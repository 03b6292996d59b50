"""A center that looks at itself."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import redis.asyncio as redis

from config_center import examining
from config_center.examining import Examiner
from tests.config_center.api.world import NS, http
from tests.redis_server import running
from tests.until import until


@pytest.fixture(autouse=True)
def nobody_looks_by_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The center's own first look came late under load, and overwrote what a test had set up."""
    monkeypatch.setattr(Examiner, "start", lambda self: None)


async def metric(call, name: str) -> float | None:  # type: ignore[no-untyped-def]
    _, text, _ = await call("GET", "/metrics")
    found = [line for line in text.decode().splitlines() if line.startswith(name)]
    return float(found[0].rpartition(" ")[2]) if found else None


async def test_a_store_that_became_unfit_and_came_back_is_told_to_prometheus(
    tmp_path: Path,
) -> None:
    unfit = 'config_center_checks{level="fail",subject="durability"}'
    away = 'config_center_checks{level="fail",subject="server"}'
    with running() as server:
        async with http(tmp_path / "data", redis=server.url) as call:
            running_center = call.center
            look = Examiner(
                running_center.settings, running_center.service, running_center._metrics
            ).look
            await look()
            assert await metric(call, unfit) == 0.0
            assert (await metric(call, "config_center_disk_free_bytes") or 0) > 0
            async with redis.Redis.from_url(server.url) as raw:
                await raw.config_set("appendfsync", "everysec")

            await look()
            assert await metric(call, unfit) == 1.0
            server.kill()
            await look()
            assert await metric(call, away) == 1.0
            server.start()
            await look()
            assert (await metric(call, away), await metric(call, unfit)) == (0.0, 0.0)


async def test_what_waits_for_a_decision_is_counted_until_it_is_decided(tmp_path: Path) -> None:
    async with http(tmp_path) as call:
        service, metrics = call.center.service, call.center._metrics
        await call("PUT", f"{NS}/keys/k", {"value": 1})
        metrics.undecided({"default": 2})
        assert await metric(call, 'config_center_orphans{namespace="default"}') == 2.0

        await Examiner(call.center.settings, service, metrics).look()

        assert await metric(call, "config_center_orphans{") is None


async def test_a_look_at_the_audit_ends_before_its_center_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on beside a center that closed, whose audit then stayed in two files."""
    looks, go_on = threading.Event(), threading.Event()

    def late(*_: object) -> None:
        looks.set()
        go_on.wait(30)

    monkeypatch.setattr(examining, "look_at_audit", late)
    async with http(tmp_path) as call:
        examiner = Examiner(call.center.settings, call.center.service, call.center._metrics)
        examiner._task = asyncio.create_task(examiner._look_for_ever())
        await until(looks.is_set)
        closing = asyncio.create_task(examiner.close())
        await asyncio.wait((closing,), timeout=0.05)
        early = closing.done()
        go_on.set()
        await closing

    assert not early
