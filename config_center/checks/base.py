"""
What a check is told and what it says.

Gathering and judging are apart. Whoever can look (a center that runs, or the command line where
none does) fills in :class:`Facts`; a part that could not be looked at is ``None``, or says why. The
members of this family are pure functions from facts to checks, so a center at its start, the same
center asked from far away, and the command line on a machine all say the same of the same facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config_center.fleet import Standing

CENTER = "_system"  # the namespace of the center itself: its freeze is that of all of them


class Level(Enum):
    """``FAIL``: something must be mended. ``WARN``: somebody should look at it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """
    One thing that was looked at: a sentence on what is, and ``mend``, what to type or to do ("":
    nothing). ``fatal``: a center does not start with it.
    """

    subject: str
    level: Level
    sentence: str
    mend: str = ""
    fatal: bool = False

    def to_json(self) -> dict[str, str]:
        """As the API and ``doctor --json`` show it."""
        return {
            "subject": self.subject,
            "level": self.level.value,
            "sentence": self.sentence,
            "mend": self.mend,
        }


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """
    What the store's server says of itself. ``config`` is None where CONFIG is not allowed and empty
    where nobody asked, ``replicas`` counts those that are online, ``denied`` names commands that
    its user may not send (both None: not looked at); ``clock_apart`` is its clock minus ours in
    seconds (None: it does not tell the time). ``kept``: what it holds outlives a process.
    ``clustered``: it is a node of a cluster; ``as_cluster``: it is spoken to as one.
    """

    product: str = "Redis"
    version: tuple[int, ...] = ()
    config: Mapping[str, str] | None = None
    replicas: int | None = None
    used_bytes: int = 0
    denied: tuple[str, ...] | None = None
    clock_apart: float | None = None
    kept: bool = True
    clustered: bool = False
    as_cluster: bool = False


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file or directory of ours: its permission bits and who owns it."""

    path: str
    mode: int
    owner: int
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """Bytes of the file system that journal and private store lie on."""

    path: str
    free: int
    size: int


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """``problems``: what SQLite's quick_check found. ``orphans``: undecided, by namespace."""

    path: str
    size: int = 0
    problems: tuple[str, ...] = ()
    orphans: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """
    ``problem``: why its end is not the sealed one (""); ``down``: why it cannot be written;
    ``aside``: files that an earlier start did not believe.
    """

    path: str
    entries: int = 0
    problem: str = ""
    down: str = ""
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """Another center: why it does not help (""), and its clock minus ours in seconds."""

    url: str
    problem: str = ""
    clock_apart: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Everything that was looked at. ``store`` and ``journal`` may be a sentence instead: why they
    could not be looked at; of a cluster ``store`` is that for each of its nodes. ``keys`` is why
    they cannot be used ("": they can). ``files`` begins with the data directory and is empty where
    there is none yet. ``now`` and ``installed`` are seconds since 1970, ``user`` is the user id of
    whoever runs the center. ``frozen`` is ``by``, ``reason`` and ``since`` of each freeze by
    namespace, that of the whole center under ``_system``.
    """

    now: float = 0.0
    installed: float | None = None
    user: int | None = None
    open_files: int | None = None
    watches: int = 0
    ack_replicas: int = 0
    store: StoreFacts | str | Mapping[str, StoreFacts | str] | None = None
    keys: str | None = None
    files: tuple[FileFacts, ...] | None = None
    disk: DiskFacts | None = None
    journal: JournalFacts | str | None = None
    audit: AuditFacts | None = None
    peers: tuple[PeerFacts, ...] | None = None
    modes: Mapping[str, Mapping[str, str]] | None = None
    frozen: Mapping[str, Mapping[str, str]] | None = None
    fleets: Mapping[str, Standing] | None = None


def ok(subject: str, sentence: str) -> Check:
    """Nothing has to be done."""
    return Check(subject, Level.OK, sentence)


def warn(subject: str, sentence: str, mend: str) -> Check:
    """Somebody should look at it."""
    return Check(subject, Level.WARN, sentence, mend)


def fail(subject: str, sentence: str, mend: str, *, fatal: bool = False) -> Check:
    """Something must be mended."""
    return Check(subject, Level.FAIL, sentence, mend, fatal)
