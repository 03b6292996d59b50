"""The alert rules and the dashboard speak of metrics, and of label values, that really exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from ruamel.yaml import YAML

from client_sdk import Client
from config_center.examining import Examiner
from tests.config_center.api.world import http
from tests.config_center.test_reports import instance as token_of
from tests.device_gateway.world import gateway

OPS = Path(__file__).parent.parent / "ops"
METRIC = re.compile(r"\b((?:config_center|config_client|device_gateway)_[a-z0-9_]+)(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
OF_PROMETHEUS = {"instance", "job"}  # labels that scraping adds
# What is only there once it happened: label values that a fresh gateway does not show yet.
CLOSED = {"outcome": {"ok", "failed", "aborted", "accepted", "full"}, "route": {".*watch"}}


def rules() -> list[dict[str, Any]]:
    document = YAML(typ="safe").load((OPS / "alerts.yml").read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    plain: dict[str, Any] = orjson.loads((OPS / "grafana-dashboard.json").read_bytes())
    return plain


def expressions() -> Iterator[str]:
    """Everything that is asked of Prometheus."""
    for rule in rules():
        yield rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for each in dashboard()["templating"]["list"]:
        yield str(each["query"])
    for each in dashboard()["annotations"]["list"]:
        yield each["expr"]


async def exposed(tmp_path: Path) -> dict[str, dict[str, set[str]]]:
    """Metric -> label -> values, of a center and a gateway that run and were scraped."""
    async with http(tmp_path / "data") as call, aiohttp.ClientSession() as session:
        token = await token_of(call, "gw-1")
        center = call.center
        await Examiner(center.settings, center.service, center._metrics).look()
        async with (
            Client.connect(
                call.url, instance="gw-1", state=tmp_path / "state", token=token,
                trust=str(tmp_path / "data" / "trust.json"), timeout=30.0,
            ) as client,
            gateway(tmp_path, client) as running,
        ):  # fmt: skip
            _, of_center, _ = await call("GET", "/metrics")
            answer = await session.get(f"{running.admin_url}/metrics")
            of_gateway = await answer.text()
    found: dict[str, dict[str, set[str]]] = {}
    for line in (of_center.decode() + of_gateway).splitlines():
        if line.startswith("# TYPE "):
            found.setdefault(line.split()[2], {})
        elif not line.startswith("#"):
            name, labels = re.match(r"(\w+)(\{.*\})?", line).groups()  # type: ignore[union-attr]
            values = found.setdefault(name, {})
            for label, _, value in MATCHER.findall(labels or ""):
                values.setdefault(label, set()).add(value)
    return found


async def test_every_metric_and_every_label_value_that_is_asked_for_exists(tmp_path: Path) -> None:
    there = await exposed(tmp_path)
    asked = [match for text in expressions() for match in METRIC.findall(text)]
    assert len(asked) > 60

    unknown = {name for name, _ in asked} - there.keys() - {"device_gateway_turn_seconds_bucket"}
    assert unknown == set()
    for name, matchers in asked:
        for label, _, text in MATCHER.findall(matchers):
            known = there[name].get(label, set()) | CLOSED.get(label, set())
            if label not in OF_PROMETHEUS:
                parts = {text} if text in known else set(text.split("|"))
                assert parts <= known, f"{name} has no {label}={text!r}, but {sorted(known)}"


async def test_every_metric_of_ours_is_on_the_dashboard_or_in_a_rule(tmp_path: Path) -> None:
    there = await exposed(tmp_path)
    asked = {match[0] for text in expressions() for match in METRIC.findall(text)}
    inner = re.compile(r"_(created|bucket|count|sum)$")
    ours = {name for name in there if METRIC.fullmatch(name) and not inner.search(name)}
    # Shown by another of the same meaning, or of no use in a picture.
    spared = {"config_client_epoch"}

    shown = asked | {inner.sub("", name) for name in asked}
    assert {n for n in ours if n not in shown and f"{n}_total" not in shown} == spared


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 40
    for text in (rule["expr"], *rule["annotations"].values()):
        assert text.count("{") == text.count("}")
        assert text.count("(") == text.count(")")


def test_no_alert_stands_twice_and_every_panel_says_what_it_shows() -> None:
    names = [rule["alert"] for rule in rules()]
    panels = dashboard()["panels"]

    assert len(set(names)) == len(names)
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(p.get("description") for p in panels if p["type"] != "row")
    # No panel lies upon another, and all are within the 24 columns.
    cells = [
        (x, y)
        for p in panels
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
