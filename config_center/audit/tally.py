"""
What of a flood of refusals is written down: pure; pass ``now`` in seconds of a clock that nobody
sets, and entries with the time of day.

Every refusal is told; not every one gets an entry of its own:

* **The same again** (who, from where, what, why) within ``WINDOW`` of the first is counted, and
  told at the window's end as one entry ``repeated`` with ``times``.
* **Too many different ones** of one token, or of one network for whoever has none, are told as one
  such entry a window that does not say what each was. What strangers cause together is bounded on
  top of that, because addresses cost nothing: at most one entry a minute after the first hundred.

So a flood of wrong tokens from anywhere writes under 3 MB a day. What is counted but not yet told
is lost by kill -9; it repeats an entry that was written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from client_sdk.allowance import Allowance, Bucket
from config_center.admission import Buckets, address_of
from config_center.audit.entries import REPEATED, Entry

if TYPE_CHECKING:
    from collections.abc import Hashable

WINDOW = 60.0  # seconds
MOST = 1_000  # that are counted at once, each by itself
KNOWN = Allowance(rate=2, burst=500)  # different refusals of one token
STRANGER = Allowance(rate=1 / 60, burst=20)  # of one network without a token
STRANGERS = Allowance(rate=1 / 60, burst=100)  # of all of them together


@dataclass(slots=True)
class _Count:
    """``times``: how often more than the entry that was written, if one was."""

    entry: Entry
    began: float
    times: int = 0


class Tally:
    """One a center."""

    def __init__(self) -> None:
        self._known = Buckets(KNOWN)
        self._networks = Buckets(STRANGER)
        self._strangers = Bucket(STRANGERS, STRANGERS.burst, 0.0)
        self._counts: dict[Hashable, _Count] = {}

    def take(self, entry: Entry, now: float) -> bool:
        """True: write this refusal down now. False: it is counted, and :meth:`due` will tell."""
        same = _what(entry)
        if same in self._counts:
            self._counts[same].times += 1
            return False
        if len(self._counts) < MOST and self._has_room(entry, now):
            self._counts[same] = _Count(entry, now)
            return True
        blurred = (
            _blurred(entry)
            if len(self._counts) < 2 * MOST
            else Entry(at=entry.at, outcome=entry.outcome)
        )
        count = self._counts.setdefault(_what(blurred), _Count(blurred, now))
        count.times += 1
        return False

    def due(self, now: float, at: int, *, everything: bool = False) -> list[Entry]:
        """What was counted in windows that have ended; each is told once, as of ``at``."""
        ended = [
            what
            for what, count in self._counts.items()
            if everything or now - count.began >= WINDOW
        ]
        counts = [self._counts.pop(what) for what in ended]
        return [_told(count, at) for count in counts if count.times]

    def _has_room(self, entry: Entry, now: float) -> bool:
        if entry.token:
            return not self._known.of(entry.token, now).take(now)
        own = self._networks.of(_network(entry), now)
        if own.take(now):
            return False
        if self._strangers.take(now):
            own.put_back()
            return False
        return True


def _what(entry: Entry) -> Hashable:
    return (
        *(entry.token, entry.address if entry.token else _network(entry)),
        *(entry.method, entry.route, entry.namespace, entry.keys, entry.subject),
        entry.problem,
    )


def _network(entry: Entry) -> str:
    return address_of(entry.address, None)


def _blurred(entry: Entry) -> Entry:
    """What is left of one of too many: who, and of strangers not even that."""
    if not entry.token:
        return Entry(at=entry.at, outcome=entry.outcome)
    who = {name: getattr(entry, name) for name in ("actor", "token", "role", "instance")}
    return Entry(at=entry.at, outcome=entry.outcome, **who)


def _told(count: _Count, at: int) -> Entry:
    first = count.entry
    return replace(
        first, at=at, event=REPEATED, times=count.times, since=first.at, request="", comment=""
    )
