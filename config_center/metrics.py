"""Prometheus metrics of the center; labels come from closed sets only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from config_center.ledger.words import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from config_center.api.route import Route
    from config_center.service import Service


class Metrics:
    """Counters of requests, and gauges read from the service when somebody asks."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "config_center_requests_total",
            "HTTP requests by route and status class",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "config_center_request_seconds",
            "time to answer, by route",
            ["route"],
            registry=self._registry,
        )
        self._ready = Gauge(
            "config_center_namespace_ready",
            "1 when the namespace takes changes, by mode",
            ["namespace", "mode"],
            registry=self._registry,
        )
        self._keys = Gauge(
            "config_center_keys", "keys that exist", ["namespace"], registry=self._registry
        )
        self._revision = Gauge(
            "config_center_revision", "newest revision", ["namespace"], registry=self._registry
        )
        self._watchers = Gauge(
            "config_center_watchers", "event streams", ["namespace"], registry=self._registry
        )

        self._journal_bytes = Gauge(
            "config_center_journal_bytes", "size of the journal's file", registry=self._registry
        )
        self._journal_rows = Gauge(
            "config_center_journal_rows",
            "changes in the journal",
            ["namespace"],
            registry=self._registry,
        )
        self._journal_oldest = Gauge(
            "config_center_journal_oldest_timestamp_seconds",
            "when the oldest change in the journal was written down",
            ["namespace"],
            registry=self._registry,
        )

    def counter_of(self, route: Route) -> Callable[[int, float], None]:
        """What counts a route's answers; made once, cheap to call."""
        label = f"{route.method} {route.path}"
        by_class = {c: self._requests.labels(label, f"{c}xx") for c in range(1, 6)}
        seconds = self._seconds.labels(label)

        def count(status: int, duration: float) -> None:
            by_class[status // 100].inc()
            seconds.observe(duration)

        return count

    def render(self, service: Service) -> bytes:
        """The text that Prometheus reads."""
        for ns, ledger in service.registry.ledgers.items():
            for mode in Mode:
                self._ready.labels(ns, mode.value).set(ledger.mode is mode)
            self._keys.labels(ns).set(sum(e.exists for e in ledger.state.entries.values()))
            self._revision.labels(ns).set(ledger.state.position.v)
            self._watchers.labels(ns).set(len(ledger.watchers))
        size = service.registry.pruner.size  # as of the last round
        self._journal_bytes.set(size.file_bytes)
        for ns, figures in size.namespaces.items():
            self._journal_rows.labels(ns).set(figures.rows)
            self._journal_oldest.labels(ns).set(figures.oldest_ms / 1000)
        return generate_latest(self._registry)
