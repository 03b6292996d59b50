"""
Prometheus metrics of the center; labels come from closed sets only.

Requests and problems are counted as they happen. What can be read at once (modes, freezes, fleets,
rollouts) is read from the service when somebody asks, so that it is never older than the answer.
What costs a look at the disk or the store is what the examiner saw last
(config_center/examining.py).

What is read goes into families that are new each time, so that a namespace that ended is not shown
for ever. Requests by route are most of the text and are written by request_metrics.py.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from config_center.checks import CHECKS, Level
from config_center.ledger.words import Mode
from config_center.looking import lateness
from config_center.problems import STATUS
from config_center.request_metrics import RequestMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from client_sdk.listening import Connections
    from config_center.api.route import Route
    from config_center.checks.base import Check, DiskFacts
    from config_center.ledger.ledger import Ledger
    from config_center.service import Service
    from config_center.space import Space

_PREFIX = "config_center_"
_STANDINGS = ("stale", "silent", "behind", "refusing")
_UNDER_WAY = ("running", "paused")

# What is read anew for each answer: name -> what it says, labels.
_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "namespace_ready": ("1 for the mode that the namespace is in", ("namespace", "mode")),
    "frozen": ("1: publishing is frozen; of _system: in the whole center", ("namespace",)),
    "keys": ("keys that exist", ("namespace",)),
    "revision": ("newest revision", ("namespace",)),
    "watchers": ("event streams", ("namespace",)),
    "beat_age_seconds": ("since the newest heartbeat reached the store", ("namespace",)),
    "instances": ("instances that reported", ("namespace",)),
    "instances_troubled": ("instances that do not follow, by why", ("namespace", "state")),
    "rollouts": ("rollouts that have not ended", ("namespace", "state")),
    "orphans": ("acknowledged changes that wait for a decision", ("namespace",)),
    "connections": ("open HTTP connections", ()),
    "checks": ("what doctor would say, by subject and level", ("subject", "level")),
    "disk_free_bytes": ("room left for the data directory", ()),
    "disk_size_bytes": ("size of its file system", ()),
    "journal_bytes": ("size of the journal's file", ()),
    "journal_rows": ("rows of history in the journal", ("namespace",)),
    "journal_oldest_timestamp_seconds": ("when the oldest of them was written", ("namespace",)),
}
# What others count for themselves: the same, with at most one label.
_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "audit_entries": ("Entries of the audit", ("outcome",)),
    "audit_errors": ("Writes of it that failed, and entries that were lost", ("kind",)),
    "reports": ("Reports of instances", ("outcome",)),
    "journal_errors": ("Transactions that the disk refused", ()),
    "emergency_publishes": ("Changes that were published with urgent=true", ("namespace",)),
    "slow_connections": ("Connections cut for slowness", ()),
}


class _Reading(Collector):
    """The figures of one answer."""

    def __init__(self) -> None:
        self._gauges = {
            name: GaugeMetricFamily(_PREFIX + name, words, labels=labels)
            for name, (words, labels) in _GAUGES.items()
        }
        self._counters = {
            name: CounterMetricFamily(_PREFIX + name, words, labels=labels)
            for name, (words, labels) in _COUNTERS.items()
        }

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """A figure as it is now."""
        self._gauges[name].add_metric(labels, value)

    def counted(self, name: str, count: int, *labels: str) -> None:
        """How often it happened since the center started."""
        self._counters[name].add_metric(labels, count)

    def collect(self) -> Iterable[Metric]:
        return (*self._gauges.values(), *self._counters.values())


class Metrics:
    """One a center. ``connections`` is set once it listens."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.connections: Connections | None = None
        self._checks: Tally[tuple[str, Level]] | None = None
        self._disk: DiskFacts | None = None
        self._orphans: Mapping[str, int] = {}
        self._registry = CollectorRegistry()
        self._requests = RequestMetrics()
        self._problems = Counter(
            "config_center_problems_total",
            "Refusals by the problem's type, without urn:config-center:problem:",
            ["type"],
            registry=self._registry,
        )
        for name in STATUS:
            self._problems.labels(name)

    def counter_of(self, route: Route) -> Callable[[int, float], None]:
        """What counts a route's answers; made once, cheap to call."""
        return self._requests.of(f"{route.method} {route.path}").count

    def refused(self, problem: str) -> None:
        """A problem was answered."""
        self._problems.labels(problem).inc()

    def examined(self, checks: Sequence[Check], disk: DiskFacts | None) -> None:
        """What the center saw when it looked at itself."""
        self._checks = Tally((check.subject, check.level) for check in checks)
        self._disk = disk or self._disk

    def undecided(self, orphans: Mapping[str, int]) -> None:
        """How many orphans wait, by namespace; none where it is not named."""
        self._orphans = dict(orphans)

    def render(self, service: Service) -> bytes:
        """The text that Prometheus reads."""
        reading = CollectorRegistry()
        reading.register(self._read(service, time.time()))
        return generate_latest(reading) + generate_latest(self._registry) + self._requests.text()

    def _read(self, service: Service, now: float) -> _Reading:
        reading = _Reading()
        frozen = service.policies.freezes()
        for ns, ledger in service.registry.ledgers.items():
            reading.gauge("frozen", ns in frozen, ns)
            _read_ledger(reading, ns, ledger, now)
        for ns, space in service.spaces.items():
            _read_space(reading, ns, space, now)
        size = service.registry.pruner.size  # as of the last round
        reading.gauge("journal_bytes", size.file_bytes)
        for ns, figures in size.namespaces.items():
            reading.gauge("journal_rows", figures.rows, ns)
            reading.gauge("journal_oldest_timestamp_seconds", figures.oldest_ms / 1000, ns)
        self._read_examined(reading)
        _read_counts(reading, service)
        open_now, cut = (
            (0, 0) if self.connections is None else (len(self.connections), self.connections.cut)
        )
        reading.gauge("connections", open_now)
        reading.counted("slow_connections", cut)
        return reading

    def _read_examined(self, reading: _Reading) -> None:
        for ns, count in self._orphans.items():
            reading.gauge("orphans", count, ns)
        if self._checks is not None:
            for subject in CHECKS:
                for level in Level:
                    reading.gauge("checks", self._checks[subject, level], subject, level.value)
        if self._disk is not None:
            reading.gauge("disk_free_bytes", self._disk.free)
            reading.gauge("disk_size_bytes", self._disk.size)


def _read_ledger(reading: _Reading, ns: str, ledger: Ledger, now: float) -> None:
    for mode in Mode:
        reading.gauge("namespace_ready", ledger.mode is mode, ns, mode.value)
    shards = ledger.state.entries.shards  # by name each of 20,000 keys would be hashed
    keys = sum(entry.exists for shard in shards for entry in shard.values())
    reading.gauge("keys", keys, ns)
    reading.gauge("revision", ledger.state.position.v, ns)
    reading.gauge("watchers", len(ledger.watchers), ns)
    if ledger.newest_beat is not None:
        reading.gauge("beat_age_seconds", max(0.0, now - ledger.newest_beat.ts / 1000), ns)


def _read_space(reading: _Reading, ns: str, space: Space, now: float) -> None:
    standing = space.fleet.standing(now, lateness(space.ledger, now))
    reading.gauge("instances", standing.total, ns)
    for state in _STANDINGS:
        reading.gauge("instances_troubled", len(getattr(standing, state)), ns, state)
    states = Tally(story.state for story in space.past.book.stories())
    for state in _UNDER_WAY:
        reading.gauge("rollouts", states[state], ns, state)


def _read_counts(reading: _Reading, service: Service) -> None:
    audit, reports = service.audit, service.reports
    for outcome, count in audit.written.items():
        reading.counted("audit_entries", count, outcome or "none")
    reading.counted("audit_errors", audit.errors, "refused")
    reading.counted("audit_errors", audit.lost, "lost")
    reading.counted("reports", reports.taken, "taken")
    reading.counted("reports", reports.dropped, "dropped")
    reading.counted("journal_errors", service.registry.journal.errors)
    for ns in service.spaces:
        reading.counted("emergency_publishes", service.policies.urgent[ns], ns)
