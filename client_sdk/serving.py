"""
What is served now: the read side, and the live modules behind it.

The signatures of this file are agreed; the driver (client.py) is written against them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.modules.spec import Deadlines, ModuleSpec
from client_sdk.outcomes import (
    MISSING,
    Applied,
    KeyChange,
    Measured,
    Outcome,
    Refusal,
    Resolution,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from client_sdk.records import Position
    from client_sdk.state import Entry, NamespaceState

__all__ = [
    "MISSING",
    "Applied",
    "Deadlines",
    "KeyChange",
    "Measured",
    "ModuleSpec",
    "Outcome",
    "Refusal",
    "Resolution",
    "Serving",
]


class Serving:
    """What is served now. Reading (``get``, ``unit``, ``turn``) is for any thread, the rest for the loop's."""

    on_measured: Callable[[Measured], None]  # set by the driver: what units report
    on_outcome: Callable[[Outcome], None]  # set by the driver: what declare() and retry() led to

    def __init__(
        self,
        *,
        instance: str,
        labels: Mapping[str, Any],
        defaults: Mapping[str, Any],
        open_sealed: Callable[[str, Any], Any],
    ) -> None: ...

    @property
    def position(self) -> Position: ...

    def get(self, key: str, default: Any = MISSING) -> Any: ...

    def unit(self, id: str, /, **attributes: Any) -> Any: ...

    def turn(self, unit: Any = None) -> Any: ...

    def declare(self, spec: ModuleSpec) -> Any: ...

    async def ready(self, timeout: float | None = None) -> None: ...

    def restore(
        self,
        state: NamespaceState,
        held: Mapping[str, Entry],
        groups: Iterable[Iterable[str]] | None = None,
    ) -> Outcome: ...

    async def advance(
        self, target: NamespaceState, changed: frozenset[str] | None = None
    ) -> Outcome: ...

    async def retry(self) -> Outcome: ...

    def held(self) -> Mapping[str, Entry]: ...

    def held_groups(self) -> tuple[frozenset[str], ...]: ...

    def refused(self) -> tuple[Refusal, ...]: ...

    async def close(self, deadline: float = 10.0) -> None: ...
