"""
A system under fault: publishers that are answered, clients that serve.

A round drives it and records; it never looks inside. So the naive system (systems/naive.py) stands
exactly where ours stands, behind the same bad networks, and is judged by the same checkers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.checkers.watch import History, Seen


@dataclass
class Evidence:
    """
    What a system shows after a round. ``present``: by key, what every version holds, oldest first.
    ``untold``: it broke a promise to say something, as sentences.
    """

    history: History
    present: dict[str, list[int]]
    seen: list[Seen]
    untold: list[str] = field(default_factory=list)


class System(ABC):
    """Publishers and clients on one store."""

    @abstractmethod
    async def put(self, key: str, number: int) -> bool:
        """Publish; True when it was acknowledged, False: ask again (it may have happened)."""

    @abstractmethod
    def served(self, key: str) -> Sequence[int]:
        """What each client serves for a key now, 0 for nothing."""

    @abstractmethod
    def has_noticed(self) -> bool:
        """Whether every client knows that its link is dead."""

    @abstractmethod
    def says_stale(self) -> bool:
        """Whether every client says that what it serves may be old."""

    @abstractmethod
    async def restore(self) -> None:
        """A person puts back what the store lost, if there is a way."""

    @abstractmethod
    async def evidence(self) -> Evidence:
        """Everything that the checkers ask for."""
