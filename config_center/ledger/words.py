"""What a ledger is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from client_sdk.errors import ConfigError
from config_center.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.contents import Op
    from client_sdk.image import Ring
    from client_sdk.records import Header, Position
    from client_sdk.state import NamespaceState


class Mode(Enum):
    """Whether a namespace takes changes."""

    READY = "ready"
    STARTING = "starting"
    UNREACHABLE = "store-unavailable"
    EMPTY = "store-empty"
    TAMPERED = "tampered"
    INCOMPLETE = "history-incomplete"
    REFUSED = "key-refused"
    ENDED = "ended"


class Incomplete(ConfigError):
    """Somebody proved to have seen a change that no center that answers can bring back."""


class TooOld(Incomplete):
    """The store stands before the beginning of this center's journal."""


class KeyRefused(Problem):
    """The list of signing keys does not trust the key that this center signs with."""

    def __init__(self, kid: str, version: int) -> None:
        super().__init__(
            "key-refused",
            f"this center's signing key {kid} is not in list {version} of the signing keys, so "
            "nobody would believe what it signs; type: config-center trust rotate",
            kid=kid,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """
    What a draft comes to on one state.

    Every content in ``ops`` carries its body. ``ring`` holds wrapped data keys that must lie in the
    store before the record; ``result`` is handed back to whoever asked.
    """

    ops: tuple[Op, ...]
    ring: Ring = field(default_factory=dict)
    result: Any = None


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A change that somebody asks for.

    ``plan`` is called by the writer with the very state that the record will be built on. It is
    synchronous and quick, may be called more than once, and raises a Problem to refuse. ``id`` is
    the identity of the change; ``req_hash`` the hash of what was asked. ``minted``: the id was
    drawn for this draft, so no history can know it. ``also``: other hashes of the same request.
    ``approved_by`` and ``urgent`` are written into the record (client_sdk/records.py).
    """

    id: str
    req_hash: str
    author: str
    plan: Callable[[NamespaceState], Planned]
    comment: str = ""
    request: str = ""
    type: str = "put"
    minted: bool = False
    also: tuple[str, ...] = ()
    approved_by: str = ""
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose decision a record is, why, and under which request it was asked for ("": nobody's)."""

    author: str = "config-center"
    request: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """A change in verified history. ``result`` is the plan's; ``None`` when it was there before."""

    header: Header
    c: bytes
    result: Any = None
    replayed: bool = False

    @property
    def position(self) -> Position:
        """(epoch, revision)."""
        return self.header.position
