"""What a program holds of a module it declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client_sdk.outcomes import Refusal
    from client_sdk.serving import Serving


class ModuleHandle:
    """What ``declare`` gives: how a module is. The object itself is taken from a turn's view."""

    __slots__ = ("_serving", "key")

    def __init__(self, serving: Serving, key: str) -> None:
        self._serving = serving
        self.key = key

    @property
    def ready(self) -> bool:
        """True when an object of it, built and proven, serves."""
        return self.key in self._serving.current.offer.modules

    @property
    def version(self) -> int | None:
        """The version that serves this instance itself; ``None`` for a default, or none."""
        return self._serving.current.version(self.key) if self.ready else None

    @property
    def refusal(self) -> Refusal | None:
        """Why a newer version does not serve, while that is so."""
        found = (one for one in self._serving.refused() if one.key == self.key)
        return next(found, None)
