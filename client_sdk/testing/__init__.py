"""
What programs that embed the library test themselves with: a center in this process, bad networks.

* :class:`MemoryCenter` publishes to real clients in the same process. Everything between publish
  and ``on_change`` is the real thing (signatures, chain, snapshot, modules); only the wire is not.
* :class:`FaultyTcp` and :class:`FaultyRedis` stand between a program and its center or Redis and do
  to the traffic what networks do. They choose by a ``random.Random`` that the test seeds.

Rejected: mocks of :class:`~client_sdk.Client`. A mock does what the test believes the library does;
an ``on_change`` that passes with a mock was never called with a frozen value, in the middle of a
rollout, or twice at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client_sdk.testing.memory import MemoryCenter as MemoryCenter
    from client_sdk.testing.proxy import FaultyTcp as FaultyTcp
    from client_sdk.testing.redis_proxy import FaultyRedis as FaultyRedis
    from client_sdk.testing.weather import Weather as Weather

_HOMES = {
    "FaultyRedis": "redis_proxy",
    "FaultyTcp": "proxy",
    "MemoryCenter": "memory",
    "Weather": "weather",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
