"""
What a signature says about the records below it, and when to ask for a newer list of keys.

**A line is as good as its last signature.** A record's `p` is the chain value of the one before,
and a chain value is a hash over every signed byte of that record: whoever signs a record signs all
that lies below it. So a record counts when a key that is trusted *now* signed it, or when a record
that counts stands on it. That is how history outlives the keys that wrote it: before a key is
refused, a record of another key (`rekey`, or any other) is laid over everything it signed. From
then on its old records count through what stands on them, and a new one, on which nothing stands,
counts nowhere, whatever time or position somebody writes into it.

Every record must still carry a good signature of its own, by a key that the root vouched for at
some time. It is not needed for the proof; it keeps a row whose bytes rotted out of the journals.

Rejected: the time in a record (who has the key writes any time); a position in the list up to which
a key counts (it does not say *which* records stood there, and a client that is behind would take
forged ones below it; with chain values for each namespace the root would have to come out of its
drawer for every namespace); signing all of history again (a record's bytes are its identity).

**A list is asked for when something speaks of a newer one:** a beat that names a higher version, or
anything signed by a key that no list of ours has ever named. The second is only a hint and anybody
may send it, so nobody is asked more often than every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_sdk.errors import NotVerified
from client_sdk.records import START

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.records import Beat, Position, Record
    from client_sdk.signing import Verifier

# Farther than any real history goes while somebody is away (a center that restarts every second
# needs twelve days), and so near that who stole a key needs eight million steps to the last number.
LEAP = 2**30


def vouched(
    records: Iterable[Record], verifier: Verifier, proven: Iterable[bytes] = ()
) -> frozenset[bytes]:
    """
    The chain values of those records that count; they may lie on several lines, in any order.
    ``proven``: chain values that are known to count.
    """
    past = verifier.past
    counted: set[bytes] = set()
    below = set(proven)
    for record in sorted(records, key=lambda one: one.position, reverse=True):
        judge = past if record.c in below else verifier
        if record.verify(judge):
            counted.add(record.c)
            below.add(record.header.p)
    return frozenset(counted)


def is_leap(ours: Position, theirs: Position) -> bool:
    """
    True for a position that no honest history reaches from ours. A client never goes back, so one
    forged record at the last number would hold it there for ever.
    """
    return ours > START and (theirs.e - ours.e > LEAP or theirs.v - ours.v > LEAP)


def require_next(ours: Position, c: bytes, record: Record) -> None:
    """Raise NotVerified unless ``record`` is the very next after the one at ``ours`` and ``c``."""
    follows = record.header.p == c and record.header.v == ours.v + 1
    if not follows or is_leap(ours, record.position):
        raise NotVerified(f"change {record.position} does not follow {ours}")


def is_fresh(beat: Beat, newest: int, wall: int, skew: float) -> bool:
    """
    True when a beat speaks of now: newer than the ``newest`` accepted, and not farther from
    ``wall`` (both in milliseconds) than it counts plus ``skew`` seconds.
    """
    away = (beat.ttl + skew) * 1000
    # Accepted while this clock was ahead, the newest lies in the future now and proves nothing.
    return beat.ts > (newest if newest <= wall + away else 0) and abs(wall - beat.ts) <= away


@dataclass(slots=True)
class ListWatch:
    """
    When to read the list of signing keys again; ``every`` is the least time between two reads,
    in seconds. ``wanted`` until it was read.
    """

    every: float
    wanted: bool = False
    _asked_at: float | None = None
    _spoken_of: int = 0

    def on_version(self, version: int, verifier: Verifier, now: float) -> bool:
        """A verified beat speaks of this version. True when the list is to be read."""
        if version <= verifier.trust.version:
            return False
        if version > self._spoken_of:  # it is signed, so it is no trick to keep us busy
            self._spoken_of, self._asked_at = version, None
        return self._want(now)

    def on_signer(self, kid: str, verifier: Verifier, now: float) -> bool:
        """
        Something that proves nothing is signed by ``kid``. True when the list is to be read: also
        while it is asked for already, since nobody is a forger before it was read.
        """
        return not verifier.trust.knows(kid) and (self.wanted or self._want(now))

    def _want(self, now: float) -> bool:
        if self._asked_at is not None and now - self._asked_at < self.every:
            return False
        self._asked_at = now
        self.wanted = True
        return True
