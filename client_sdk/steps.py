"""What a replica asks its driver to do, in order; and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.records import GENESIS, START, Position

if TYPE_CHECKING:
    from client_sdk.records import Record
    from client_sdk.state import NamespaceState


@dataclass(frozen=True, slots=True)
class Advance:
    """
    Persist, then apply ``state``, whose last record is ``head``; it was reached by ``records``
    (none: by an image).
    """

    state: NamespaceState
    head: Record
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadLog:
    """Read the records after ``after``; answer with :meth:`Replica.on_log`."""

    after: Position


@dataclass(frozen=True, slots=True)
class ReadImage:
    """Wait ``delay`` seconds, read the whole namespace; answer with :meth:`Replica.on_image`."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadBodies:
    """Fetch these bodies by hash; answer with :meth:`Replica.on_bodies`."""

    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReadTrust:
    """Read the list of signing keys and take a newer one; answer with :meth:`Replica.on_trust`."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Send PING on the same connection; answer with :meth:`Replica.on_pong`."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Drop the connection and make a new one; ``reason`` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChangePath:
    """This path cannot help (behind, or tampered with): try the next one."""

    reason: str


@dataclass(frozen=True, slots=True)
class TellCenter:
    """Report our position and head record: the store is behind us, or shows another history."""

    reason: str


Read = ReadLog | ReadImage | ReadBodies | ReadTrust
Do = Advance | Read | Ping | Reconnect | ChangePath | TellCenter


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest position ever applied and its chain value: the high-water mark."""

    position: Position = START
    c: bytes = GENESIS


@dataclass(slots=True)
class Counters:
    """What a replica refused, for metrics."""

    dropped: int = 0
    gaps: int = 0
    forks: int = 0
    tampered: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """
    Intervals in seconds. ``silence`` is the least time without life before a PING, ``pong`` how
    long its answer may take, ``check`` how often to look for missed changes without any sign of one
    (jittered by the driver), ``skew`` how far two clocks may be apart, ``report`` the least time
    between two complaints about a path, ``answer`` how long any request of it may take,
    ``patience`` how long a start waits for the present when there is a snapshot to serve, and
    ``probation`` how long a process has to live with a change before its death is not the change's.
    """

    silence: float = 2.0
    pong: float = 1.0
    check: float = 30.0
    skew: float = 30.0
    report: float = 5.0
    answer: float = 5.0
    patience: float = 0.8
    probation: float = 10.0
