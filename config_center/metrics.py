"""
Prometheus metrics of the center; labels come from closed sets only.

Requests and problems are counted as they happen. What can be read at once (modes, freezes, fleets,
rollouts) is read from the service when somebody asks, so that it is never older than the answer.
What costs a look at the disk or the store is what the examiner saw last
(config_center/examining.py).
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from config_center.checks import CHECKS, Level
from config_center.ledger.words import Mode
from config_center.looking import lateness
from config_center.problems import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from client_sdk.listening import Connections
    from config_center.api.route import Route
    from config_center.checks.base import Check, DiskFacts
    from config_center.ledger.ledger import Ledger
    from config_center.service import Service
    from config_center.space import Space

_STANDINGS = ("stale", "silent", "behind", "refusing")
_UNDER_WAY = ("running", "paused")


class _Counted(Collector):
    """What others count for themselves: name -> (help, label, value of the label -> count)."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[str, str, dict[str, int]]] = {}

    def collect(self) -> Iterator[Metric]:
        for name, (words, label, counts) in self.counts.items():
            family = CounterMetricFamily(name, words, labels=[label] if label else [])
            for value, count in counts.items():
                family.add_metric([value] if label else [], count)
            yield family


class Metrics:
    """One registry a center. ``connections`` is set once it listens."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.connections: Connections | None = None
        self._registry = CollectorRegistry()
        self._counted = _Counted()
        self._registry.register(self._counted)
        self._requests = Counter(
            "config_center_requests_total",
            "HTTP requests by route and status class",
            ["route", "status"],
            registry=self._registry,
        )
        self._problems = Counter(
            "config_center_problems_total",
            "Refusals by the problem's type, without urn:config-center:problem:",
            ["type"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "config_center_request_seconds",
            "time to answer, by route",
            ["route"],
            registry=self._registry,
        )
        self._ready = self._gauge(
            "namespace_ready", "1 for the mode that the namespace is in", "namespace", "mode"
        )
        self._frozen = self._gauge(
            "frozen", "1: publishing is frozen; of _system: in the whole center", "namespace"
        )
        self._keys = self._gauge("keys", "keys that exist", "namespace")
        self._revision = self._gauge("revision", "newest revision", "namespace")
        self._watchers = self._gauge("watchers", "event streams", "namespace")
        self._beat_age = self._gauge(
            "beat_age_seconds", "since the newest heartbeat reached the store", "namespace"
        )
        self._instances = self._gauge("instances", "instances that reported", "namespace")
        self._standing = self._gauge(
            "instances_troubled", "instances that do not follow, by why", "namespace", "state"
        )
        self._rollouts = self._gauge(
            "rollouts", "rollouts that have not ended", "namespace", "state"
        )
        self._orphans = self._gauge(
            "orphans", "acknowledged changes that wait for a decision", "namespace"
        )
        self._open = self._gauge("connections", "open HTTP connections")
        self._checks = self._gauge(
            "checks", "what doctor would say, by subject and level", "subject", "level"
        )
        self._disk_free = self._gauge("disk_free_bytes", "room left for the data directory")
        self._disk_size = self._gauge("disk_size_bytes", "size of its file system")
        self._journal_bytes = self._gauge("journal_bytes", "size of the journal's file")
        self._journal_rows = self._gauge(
            "journal_rows", "rows of history in the journal", "namespace"
        )
        self._journal_oldest = self._gauge(
            "journal_oldest_timestamp_seconds", "when the oldest of them was written", "namespace"
        )
        for name in STATUS:
            self._problems.labels(name)

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"config_center_{name}", words, labels, registry=self._registry)

    def counter_of(self, route: Route) -> Callable[[int, float], None]:
        """What counts a route's answers; made once, cheap to call."""
        label = f"{route.method} {route.path}"
        by_class = {c: self._requests.labels(label, f"{c}xx") for c in range(1, 6)}
        seconds = self._seconds.labels(label)

        def count(status: int, duration: float) -> None:
            by_class[status // 100].inc()
            seconds.observe(duration)

        return count

    def refused(self, problem: str) -> None:
        """A problem was answered."""
        self._problems.labels(problem).inc()

    def examined(self, checks: Sequence[Check], disk: DiskFacts | None) -> None:
        """What the center saw when it looked at itself."""
        found = Tally((check.subject, check.level) for check in checks)
        for subject in CHECKS:
            for level in Level:
                self._checks.labels(subject, level.value).set(found[subject, level])
        if disk is not None:
            self._disk_free.set(disk.free)
            self._disk_size.set(disk.size)

    def undecided(self, orphans: Mapping[str, int]) -> None:
        """How many orphans wait, by namespace; none where it is not named."""
        self._orphans.clear()
        for ns, count in orphans.items():
            self._orphans.labels(ns).set(count)

    def render(self, service: Service) -> bytes:
        """The text that Prometheus reads."""
        now = time.time()
        of_ledgers = (self._ready, self._frozen, self._keys, self._revision, self._watchers)
        for gauge in (*of_ledgers, self._beat_age):
            gauge.clear()  # a namespace that ended is not shown for ever
        frozen = service.policies.freezes()
        for ns, ledger in service.registry.ledgers.items():
            self._frozen.labels(ns).set(ns in frozen)
            self._read_ledger(ns, ledger, now)
        for gauge in (self._instances, self._standing, self._rollouts):
            gauge.clear()
        for ns, space in service.spaces.items():
            self._read_space(ns, space, now)
        self._open.set(0 if self.connections is None else len(self.connections))
        self._read_journal(service)
        self._read_counts(service)
        return generate_latest(self._registry)

    def _read_ledger(self, ns: str, ledger: Ledger, now: float) -> None:
        for mode in Mode:
            self._ready.labels(ns, mode.value).set(ledger.mode is mode)
        self._keys.labels(ns).set(sum(e.exists for e in ledger.state.entries.values()))
        self._revision.labels(ns).set(ledger.state.position.v)
        self._watchers.labels(ns).set(len(ledger.watchers))
        if ledger.newest_beat is not None:
            self._beat_age.labels(ns).set(max(0.0, now - ledger.newest_beat.ts / 1000))

    def _read_space(self, ns: str, space: Space, now: float) -> None:
        standing = space.fleet.standing(now, lateness(space.ledger, now))
        self._instances.labels(ns).set(standing.total)
        for state in _STANDINGS:
            self._standing.labels(ns, state).set(len(getattr(standing, state)))
        states = Tally(story.state for story in space.past.book.stories())
        for state in _UNDER_WAY:
            self._rollouts.labels(ns, state).set(states[state])

    def _read_journal(self, service: Service) -> None:
        size = service.registry.pruner.size  # as of the last round
        self._journal_bytes.set(size.file_bytes)
        for ns, figures in size.namespaces.items():
            self._journal_rows.labels(ns).set(figures.rows)
            self._journal_oldest.labels(ns).set(figures.oldest_ms / 1000)

    def _read_counts(self, service: Service) -> None:
        reports, cut = service.reports, 0 if self.connections is None else self.connections.cut
        told = {"taken": reports.taken, "dropped": reports.dropped}
        errors = {"": service.registry.journal.errors}
        audit = service.audit
        entries = {outcome or "none": count for outcome, count in audit.written.items()}
        trouble = {"refused": audit.errors, "lost": audit.lost}
        self._counted.counts = {
            "config_center_audit_entries": ("Entries of the audit", "outcome", entries),
            "config_center_audit_errors": (
                "Writes of it that failed, and entries that were lost",
                "kind",
                trouble,
            ),
            "config_center_reports": ("Reports of instances", "outcome", told),
            "config_center_journal_errors": ("Transactions that the disk refused", "", errors),
            "config_center_emergency_publishes": (
                "Changes that were published with urgent=true",
                "namespace",
                {ns: service.policies.urgent[ns] for ns in service.spaces},
            ),
            "config_center_slow_connections": ("Connections cut for slowness", "", {"": cut}),
        }
