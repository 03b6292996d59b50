"""
What a center needs of its store, and every way a commit can end.

The store keeps the present (head, current rows, the newest log) and spreads the news; the journal
keeps the past. A store is never believed: what it returns is as it lies there, and the ledger
verifies it. What it does promise is atomicity: a commit happens whole, with its notices, or not at
all, and it happens only when head, chain and replication id are the expected ones.

Three ways of not succeeding are kept apart, because the right answer to a client differs:
:class:`StoreDown` (nothing was sent), :class:`StoreRefused` (the store said no), and
:class:`OutcomeUnknown` (sent, no reply: it may have happened).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client_sdk.image import Image, Ring
    from client_sdk.records import Position, Record
    from client_sdk.state import Entry, NamespaceState
    from client_sdk.steps import Mark
    from config_center.checks.base import StoreFacts


class StoreDown(ConfigError):
    """The store cannot be reached; nothing was sent."""


class StoreRefused(ConfigError):
    """The store said no (read-only, no replicas, no memory ...); nothing happened."""

    def __init__(self, reason: str, *, full: bool = False) -> None:
        self.full = full
        super().__init__(reason)


class OutcomeUnknown(ConfigError):
    """The command was sent and no reply came: it may have been carried out."""


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The head as it lies there, unverified; ``rid_matches``: the history is the known one."""

    record: Record
    rid_matches: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """A signed record, the entries that it changes, and the state after it."""

    record: Record
    entries: tuple[Entry, ...]
    state: NamespaceState


@dataclass(frozen=True, slots=True)
class Restored:
    """A change of the past, as the store remembers it; ``req_hash`` is of what was asked."""

    id: str
    position: Position
    c: bytes
    req_hash: str


@dataclass(frozen=True, slots=True)
class Committed:
    """It happened, whole; ``wanted``: another center lost a race, and waits for its turn."""

    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The store claims to hold a change of this id already."""

    id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """The head is another one."""


@dataclass(frozen=True, slots=True)
class NewHistory:
    """The replication id is another one: the store restarted or failed over."""


@dataclass(frozen=True, slots=True)
class Empty:
    """There is no head."""


CommitOutcome = Committed | Duplicate | Conflict | NewHistory | Empty


@dataclass(frozen=True, slots=True)
class Beaten:
    """The head is ours; ``leader``: this center holds the lease and its beat was published."""

    leader: bool


BeatOutcome = Beaten | Conflict | NewHistory | Empty


@dataclass(frozen=True, slots=True)
class Retention:
    """
    What the store keeps: at least ``records`` of the log and all of the last ``seconds``, but never
    more than ``max_bytes``; change ids for ``id_seconds``.
    """

    records: int = 1000
    seconds: float = 3600.0
    max_bytes: int = 64 * 1024 * 1024
    id_seconds: float = 24 * 3600.0


class Store(ABC):
    """The present of all namespaces. Every method raises StoreDown when the store is away."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, or raise StoreDown."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""

    @abstractmethod
    async def facts(self) -> StoreFacts | Mapping[str, StoreFacts | str]:
        """What the server says of itself, to be judged (config_center/checks)."""

    @abstractmethod
    async def head(self, ns: str) -> StoredHead | None:
        """The last record as it lies there; ``None`` when the namespace is not in the store."""

    @abstractmethod
    async def create(self, pending: Pending) -> CommitOutcome:
        """Begin a namespace; Conflict when it is there already."""

    @abstractmethod
    async def restore(
        self, pending: Pending, ring: Ring, ids: Sequence[Restored], replaces: bytes | None = None
    ) -> CommitOutcome:
        """
        Put back a namespace that the store lost, whole: all entries of ``pending``, the ring, the
        change ids of its history. Conflict when there is a head, but for the one that ``replaces``
        is the chain value of: a namespace that was begun anew.
        """

    @abstractmethod
    async def commit(
        self, ns: str, expected: Mark, pendings: Sequence[Pending], *, adopt: bool = False
    ) -> CommitOutcome:
        """Append contiguous records, if the head is ``expected``; tell the subscribers."""

    @abstractmethod
    async def is_replicated(self, ns: str) -> bool:
        """True when all that was committed is with as many replicas as are asked for."""

    @abstractmethod
    async def beat(self, ns: str, c: bytes, center: str, frame: bytes, every: float) -> BeatOutcome:
        """Check that head and history are ours; the holder of the lease publishes ``frame``."""

    @abstractmethod
    async def known_ids(self, ns: str, ids: Sequence[str]) -> set[str]:
        """Those of these change ids that the store says it holds: a hint, anybody can write it."""

    @abstractmethod
    async def read_log(self, ns: str, after: Position) -> list[Record] | None:
        """The log after a position; ``None`` when it does not reach back that far."""

    @abstractmethod
    async def read_image(self, ns: str) -> Image | None:
        """The whole namespace at one moment, bodies in; ``None`` when it is not there."""

    @abstractmethod
    async def read_ring(self, ns: str) -> Ring:
        """All wrapped data keys."""

    @abstractmethod
    async def write_ring(self, ns: str, entries: Ring) -> None:
        """Add wrapped data keys; what is there stays as it is."""

    @abstractmethod
    async def rewrap_ring(self, ns: str, entries: Mapping[str, tuple[str, str]]) -> int:
        """Exchange (was, becomes) of data keys that are still as they were; how many these are."""

    @abstractmethod
    async def drop_ring(self, ns: str, deks: Sequence[str]) -> None:
        """Take data keys out for good."""

    @abstractmethod
    async def read_trust(self, ns: str) -> bytes | None:
        """The list of signing keys that lies beside the namespace."""

    @abstractmethod
    async def write_trust(self, ns: str, document: bytes) -> None:
        """Lay down the list of signing keys for clients that read only the store."""

    @abstractmethod
    async def read_reports(
        self, ns: str, cursors: Mapping[str, str]
    ) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        """Reports (instance, frame) after ``cursors`` (instance -> stream id), and new cursors."""

    @abstractmethod
    async def idle_bodies(self, ns: str) -> dict[str, float]:
        """Large bodies by hash, with the seconds since somebody wrote or read them."""

    @abstractmethod
    async def remove_bodies(self, ns: str, hashes: Sequence[str], idle: float) -> int:
        """Remove those that nobody wrote or read for ``idle`` seconds; how many went."""

    @abstractmethod
    async def remove_unfinished(self, ns: str, idle: float) -> int:
        """
        Remove what a restore made ready and left, when nobody wrote to it for ``idle`` seconds; how
        much went.
        """
