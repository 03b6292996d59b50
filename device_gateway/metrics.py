"""What Prometheus sees. Labels come from closed sets, never a device or a word that was said."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry per gateway, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge("device_gateway_sessions", "Live sessions", registry=registry)
        self.known = Gauge("device_gateway_known_devices", "Devices seen lately", registry=registry)
        self.connections = Counter(
            "device_gateway_connections",
            "Connections by what became of them",
            ["outcome"],  # accepted, full, draining, identity, token, unlisted, no-hello
            registry=registry,
        )
        self.closed = Counter(
            "device_gateway_closed",
            "Sessions that ended, by why",
            ["reason"],  # device, idle, replaced, slow, drain
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
