"""
Reading, in nanoseconds: what a turn of a conversation pays for its config.

The bounds hold for a loop around the call, on both sides, as timeit measures: that is how they were
set. The loop flatters the ratio, so each is said once more with it taken off: the same loop around
``pass``, measured in the same round, is subtracted from both sides. A method that only looks up is
what no client can be below.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Line, compared, per_call
from client_sdk.client import Client
from client_sdk.greyscale import bucket
from client_sdk.keks import Keks
from client_sdk.plan import Plan
from client_sdk.route import Pace
from client_sdk.steps import Timing

_DEVICE = "24:6f:28:a0:00:01"


async def lines(size: float) -> AsyncIterator[Line]:
    """``size`` 1.0 is the whole measurement."""
    rounds, calls = max(9, round(15 * size)), max(1000, round(200_000 * size))
    client = _client({"prompt": "You are brief."})
    unit, plain = client.unit(_DEVICE), {"prompt": "You are brief."}
    ours: dict[str, list[float]] = {"get": [], "unit": [], "bucket": []}
    theirs, empty, method = [], [], []
    bare = _Bare(plain)
    for _ in range(rounds):
        theirs.append(per_call(lambda n: _lookups(plain, n), calls) * 1e9)
        empty.append(per_call(_nothing, calls) * 1e9)
        method.append(per_call(lambda n: _gets(bare.get, n), calls) * 1e9)
        ours["get"].append(per_call(lambda n: _gets(client.get, n), calls) * 1e9)
        ours["unit"].append(per_call(lambda n: _gets(unit.get, n), calls) * 1e9)
        ours["bucket"].append(per_call(_buckets, calls // 10) * 1e9)
    yield compared("read", "client.get(key)", ours["get"], theirs, "d[key]", "ns", 2.5)
    yield compared("read", "unit.get(key)", ours["unit"], theirs, "d[key]", "ns", 4.0)
    net = _without(theirs, empty)
    for name, took in (("client.get", ours["get"]), ("unit.get", ours["unit"]), ("bare", method)):
        what = f"{name}, loop taken off"
        yield compared("read", what, _without(took, empty), net, "d[key]", "ns", None)
    yield compared("read", "client.get(key)", ours["get"], method, "a bare method", "ns", None)
    yield compared(
        "read", "the bucket of a new unit", ours["bucket"], [1000.0] * rounds, "1 us", "ns", 1.0
    )


class _Bare:
    """The least that a method can be."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get(self, key: str) -> str:
        return self.values[key]


def _without(took: list[float], loop: list[float]) -> list[float]:
    return [one - other for one, other in zip(took, loop, strict=True)]


def _nothing(calls: int) -> None:
    for _ in range(calls):
        pass


def _lookups(d: dict[str, str], calls: int) -> None:
    for _ in range(calls):
        d["prompt"]


def _gets(get: Callable[[str], Any], calls: int) -> None:
    for _ in range(calls):
        get("prompt")


def _buckets(calls: int) -> None:
    for _ in range(calls):
        bucket("ro_0123456789abcdef", _DEVICE)


def _client(defaults: dict[str, Any]) -> Client:
    """One that serves and follows nobody."""
    return Client(
        Plan(
            addresses=(), namespace="default", instance="bench", labels={}, token=None, trust=None,
            secret_key=Keks(), state=Path(), timeout=1.0, defaults=defaults,
            timing=Timing(), pace=Pace(), report_every=60.0,
        )
    )  # fmt: skip
