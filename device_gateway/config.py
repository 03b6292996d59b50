"""What the gateway needs of the SDK, as structural types.

The gateway is the model of how to embed `client_sdk`; this file is the list of what an embedder
uses. `client_sdk.Client` satisfies it, and so does a dictionary with a few methods in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

KEYS: Final = ("llm", "tts", "asr", "vad", "lexicon", "prompt", "greeting", "gateway")
"""The keys whose value means something to a conversation here; each may be absent."""


class Resolution(Protocol):
    """Which version a unit gets, and why."""

    @property
    def version(self) -> int | None: ...
    @property
    def arm(self) -> str: ...


class Unit(Protocol):
    """One device as the SDK sees it: a light handle, always current."""

    def get(self, key: str, default: Any = ..., /) -> Any: ...
    def explain(self, key: str, /) -> Resolution: ...
    def report(self, name: str, *, ok: bool, seconds: float) -> None: ...


class View(Protocol):
    """The consistent values and modules of one turn."""

    def get(self, key: str, default: Any = ..., /) -> Any: ...
    def module(self, key: str, /) -> Any: ...


class Client(Protocol):
    """The part of `client_sdk.Client` that the gateway uses."""

    def metrics(self) -> Mapping[str, float]: ...
    def unit(self, unit_id: str, /, **attributes: str) -> Any: ...
    def turn(self, unit: Any, /) -> AbstractAsyncContextManager[Any]: ...
    @property
    def module(self) -> Callable[..., Any]: ...
    def on_change(self, key: str, /) -> Callable[[Callable[[Any], Any]], Any]: ...


def effective(unit: Unit) -> dict[str, Resolution]:
    """What each of the gateway's keys is for this unit; absent keys are left out."""
    found = {}
    for key in KEYS:
        try:
            resolution = unit.explain(key)
        except KeyError:
            continue
        if resolution.version is not None:
            found[key] = resolution
    return found


def versions(unit: Unit) -> Mapping[str, int]:
    """The version of each present key for this unit."""
    return {key: found.version or 0 for key, found in effective(unit).items()}
