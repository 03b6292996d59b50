"""
The config center's client library.

Names are loaded when they are first used, so importing this package costs next to nothing and pulls
in neither redis nor aiohttp, cryptography or pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client_sdk.client import Client as Client
    from client_sdk.errors import ApiError as ApiError
    from client_sdk.errors import ClientClosed as ClientClosed
    from client_sdk.errors import ConfigError as ConfigError
    from client_sdk.errors import ForkedClient as ForkedClient
    from client_sdk.errors import NotReady as NotReady
    from client_sdk.errors import NotTrusted as NotTrusted
    from client_sdk.errors import StateInUse as StateInUse
    from client_sdk.errors import Unavailable as Unavailable
    from client_sdk.errors import UnknownKey as UnknownKey
    from client_sdk.listeners import Change as Change
    from client_sdk.outcomes import Resolution as Resolution
    from client_sdk.plan import Status as Status

__version__ = "0.1.0"

_HOMES = {
    "ApiError": "errors",
    "Change": "listeners",
    "Client": "client",
    "ClientClosed": "errors",
    "ConfigError": "errors",
    "ForkedClient": "errors",
    "NotReady": "errors",
    "NotTrusted": "errors",
    "Resolution": "outcomes",
    "StateInUse": "errors",
    "Status": "plan",
    "Unavailable": "errors",
    "UnknownKey": "errors",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*_HOMES, "__version__"))
