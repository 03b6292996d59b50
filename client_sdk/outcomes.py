"""What became of a change in this process: the words the read side hands to its driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from client_sdk.records import Position

STABLE = "stable"
CANARY = "canary"


class Missing:
    """The type of :data:`MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()  # "no value was given": None is a value


class Resolution(NamedTuple):
    """
    What one unit gets of one key, and why.

    ``version`` is ``None`` for a default. ``reason`` is one of ``no-rollout``, ``percentage``,
    ``stable``, ``off``, ``deny``, ``dependency``, ``rule``, ``allow`` and ``default``; ``bucket``
    and ``rollout`` are ``None`` where no rollout was asked.
    """

    value: Any
    version: int | None
    arm: str
    reason: str
    bucket: int | None = None
    rollout: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """A version that serves now, in one arm; ``None`` when the arm removes the key."""

    key: str
    version: int | None
    arm: str
    rollout: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why a change does not serve here.

    ``key``, ``version`` and ``arm`` name the culprit, ``keys`` all that are held back with it.
    ``step`` is ``decode``, ``sealed``, ``build``, ``probe`` or ``crash`` (processes died of it);
    ``reason`` never holds a secret.
    """

    keys: frozenset[str]
    key: str
    version: int | None
    arm: str
    step: str
    reason: str
    rollout: str | None = None

    def __str__(self) -> str:
        version = "the default" if self.version is None else f"version {self.version}"
        return f"{self.step} of {version} ({self.arm}): {self.reason}"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """
    A key whose value for this instance changed; :data:`MISSING` where there is none.

    ``position`` is the one that serves since. ``reason`` is ``start``, ``publish``, ``rollout``,
    ``rollback`` or ``delete``.
    """

    key: str
    previous: Any
    previous_version: int | None
    value: Any
    version: int | None
    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one step did.

    ``changes`` are of this instance itself; ``touched`` are all keys that serve another entry than
    before, to whomever: those of a canary, and those a held group let go. ``held``: what is held
    back changed, and should be persisted.
    """

    applied: tuple[Applied, ...] = ()
    refused: tuple[Refusal, ...] = ()
    changes: tuple[KeyChange, ...] = ()
    touched: frozenset[str] = frozenset()
    held: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What a unit did (``name``, as ``turn``), under which arms: pairs of rollout id and arm."""

    unit: str
    name: str
    ok: bool
    seconds: float
    arms: tuple[tuple[str, str], ...] = ()
