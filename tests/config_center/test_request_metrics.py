"""What routes answered, as Prometheus reads it: line by line what its own library says."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config_center.request_metrics import RequestMetrics

ROUTE = "GET /v1/namespaces/{ns}"
ANSWERS = [(200, 0.005), (200, 0.0051), (204, 0.2), (404, 3.0), (503, 11.0), (101, 0.0)]


def samples(text: bytes) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Family by name, without when the library began to count."""
    return {
        f"{family.name} {family.type} {family.documentation}": sorted(
            ((s.name, s.labels, s.value) for s in family.samples), key=str
        )
        for family in text_string_to_metric_families(text.decode())
        if not family.name.endswith("_created")
    }


def test_the_lines_are_those_of_the_library() -> None:
    registry, ours = CollectorRegistry(), RequestMetrics()
    total = Counter(
        "config_center_requests_total",
        "HTTP requests by route and status class",
        ["route", "status"],
        registry=registry,
    )
    seconds = Histogram(
        "config_center_request_seconds", "time to answer, by route", ["route"], registry=registry
    )
    tally = ours.of(ROUTE)
    for status, duration in ANSWERS:
        tally.count(status, duration)
        total.labels(ROUTE, f"{status // 100}xx").inc()
        seconds.labels(ROUTE).observe(duration)

    assert samples(ours.text()) == samples(generate_latest(registry))


def test_a_route_that_nobody_asked_is_there_so_that_its_first_error_is_a_rise() -> None:
    ours = RequestMetrics()
    ours.of(ROUTE)
    text = ours.text().decode()

    shown = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    assert {value for _, _, value in shown} == {"0", "0.0"}
    assert [name for name, _, _ in shown if "_total" in name] == [
        f'config_center_requests_total{{route="{ROUTE}",status="{c}xx"}}' for c in (2, 4, 5)
    ]
