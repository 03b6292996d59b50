"""What Prometheus sees. Labels come from closed sets, never a device or a word that was said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric


class ClientMetrics(Collector):
    """What the embedded SDK says of itself, read when somebody asks."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Each number as a counter or a gauge, by its name."""
        for name, value in self._read().items():
            if name.endswith("_total"):
                counter = CounterMetricFamily(name.removesuffix("_total"), "See docs/sdk.md")
                counter.add_metric([], value)
                yield counter
            else:
                gauge = GaugeMetricFamily(name, "See docs/sdk.md")
                gauge.add_metric([], value)
                yield gauge


class Metrics:
    """One registry per gateway, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge("device_gateway_sessions", "Live sessions", registry=registry)
        self.known = Gauge("device_gateway_known_devices", "Devices seen lately", registry=registry)
        self.connections = Counter(
            "device_gateway_connections",
            "Connections by what became of them",
            ["outcome"],  # accepted, full, draining, origin, identity, token, unlisted, no-hello
            registry=registry,
        )
        self.closed = Counter(
            "device_gateway_closed",
            "Sessions that ended, by why",
            ["reason"],  # device, idle, replaced, slow, flood, drain
            registry=registry,
        )
        self.messages = Counter(
            "device_gateway_received_messages",
            "Messages of devices by type",
            ["type"],  # hello, listen, abort, mcp, audio, unknown, malformed
            registry=registry,
        )
        self.turns = Counter(
            "device_gateway_turns",
            "Turns by outcome",
            ["outcome"],  # ok, failed, aborted
            registry=registry,
        )
        self.turn_seconds = Histogram(
            "device_gateway_turn_seconds",
            "From the words to the end of the answer",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.notices = Counter(
            "device_gateway_notices",
            "Notices accepted by live sockets, by kind",
            ["kind"],  # config, alert
            registry=registry,
        )
