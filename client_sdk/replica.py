"""
What a client does about what it hears: the rules of delivery, without I/O.

Feed it what arrived (a frame, the confirmation of a subscription, the answer to a read, the time);
it returns what to do, in order. It never waits, reads no clock and opens nothing, so every rule can
be tested by a sequence of calls. `now` is monotonic seconds, `wall` is milliseconds since 1970.

The law, in the order in which it is checked (docs/protocol.md, K1 to K9):

* Nothing is used before it is verified: signature (vouching.py), namespace, chain, digest.
* `(epoch, revision)` only grows, over restarts too. A frame is news, never truth: a record is taken
  only if it links to exactly the state held here (`p` equals our `c`); whatever else lies above it
  is a gap, and a gap is closed from the log or by a whole image, never guessed over.
* The mark (highest position ever applied) may lie above the state, when only an older snapshot was
  readable. Then the old state is served, stale, and nothing below the mark is applied.
* A beat counts as life only if it is signed, newer than the last, of now, and not below us. So old
  beats that somebody replays keep neither the link nor the freshness alive.
* A first image without any state is served only once a fresh beat, or a path that proves itself
  (`confirmed`), says that it is the present: else somebody could show a newcomer last year's.
* One catch-up at a time; whatever asks for another meanwhile is merged into one more.

Rejected: applying the newest number seen ("newer wins": 19 of 19 clients stayed on lost config
after a failover), and closing gaps by waiting for the next message (there may be none).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client_sdk.errors import MissingBodies, NotVerified
from client_sdk.records import MAX_FRAME, START, Beat, Position, Record, decode
from client_sdk.steps import (
    Advance,
    ChangePath,
    Counters,
    Do,
    Mark,
    Ping,
    ReadBodies,
    ReadImage,
    ReadLog,
    ReadTrust,
    Reconnect,
    TellCenter,
    Timing,
)
from client_sdk.vouching import ListWatch, is_fresh, is_leap, require_next, vouched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from client_sdk.image import Proven
    from client_sdk.signing import Verifier
    from client_sdk.state import NamespaceState


_IMAGE_TRIES = 3


@dataclass(slots=True)
class Replica:
    """
    The verified copy of one namespace that a client holds.

    ``state`` is ``None`` until something was verified. Read ``fork``, ``center_silent``,
    ``confirmed_at`` and ``counters`` at will; change nothing from outside.
    """

    ns: str
    verifier: Verifier
    state: NamespaceState | None = None
    mark: Mark = field(default_factory=Mark)
    newest_beat: int = 0
    timing: Timing = field(default_factory=Timing)
    fork: bool = False
    center_silent: bool = False
    tampered: bool = False
    confirmed_at: float | None = None
    counters: Counters = field(default_factory=Counters)
    _lists: ListWatch = field(init=False)
    _reading: bool = False
    _again: bool = False
    _image_tries: int = 0
    _waiting: tuple[Record, ...] = ()
    _objects: dict[str, bytes] = field(default_factory=dict)
    _unconfirmed: tuple[NamespaceState, Record] | None = None
    _said: Mark | None = None  # by the newest fresh beat
    _said_before: Mark | None = None  # the image under way was asked for
    _last_life: float | None = None
    _every: float = 1.0
    _pinged_at: float | None = None
    _checked_at: float = 0.0
    _told_at: float | None = None

    def __post_init__(self) -> None:
        self._lists = ListWatch(self.timing.report)

    @property
    def position(self) -> Position:
        """Where we are: the mark, never below."""
        return self.mark.position

    @property
    def catching_up(self) -> bool:
        """True while an answer is awaited, so there may be news that was not taken in yet."""
        return self._reading or self._again

    def is_stale(self, now: float) -> bool:
        """True when what is served was not confirmed by two heartbeats that were due."""
        due = 2 * max(2 * self._every, self.timing.silence)
        return self.confirmed_at is None or now - self.confirmed_at > due

    # -- what arrives by itself ---------------------------------------------------------------

    def on_subscribed(self, now: float) -> list[Do]:
        """A subscription was confirmed, the first or any later one: something may be missed."""
        self._last_life = now
        self._pinged_at = None
        self._reading = self._again = False
        self._waiting = ()
        return self._catch_up(now)

    def on_frame(self, frame: bytes, now: float, wall: int) -> list[Do]:
        """A message of the channel or of the event stream."""
        try:
            message = decode(frame, MAX_FRAME)
        except NotVerified:
            self.counters.dropped += 1
            return []
        return self.on_message(message, now, wall)

    def on_message(self, message: Record | Beat, now: float, wall: int) -> list[Do]:
        """A decoded frame."""
        if isinstance(message, Beat):
            return self._on_beat(message, now, wall)
        if message.header.ns != self.ns or not message.verify(self.verifier):
            self.counters.dropped += 1
            return self._on_stranger(message, now)
        return self._on_record(message, now)

    def on_tick(self, now: float) -> list[Do]:
        """Time passed; call it again when :meth:`due_in` says."""
        if self._pinged_at is not None:
            if now < self._pinged_at + self.timing.pong:
                return []
            self._pinged_at = None
            return [Reconnect("no answer to PING")]
        if self._last_life is None:
            return []
        if now >= self._silent_at(self._last_life):
            self._pinged_at = now
            return [Ping()]
        return self._catch_up(now) if now >= self._look_at else []

    def due_in(self, now: float) -> float:
        """Seconds until :meth:`on_tick` has something to do, if nothing arrives before."""
        if self._pinged_at is not None:
            return max(0.0, self._pinged_at + self.timing.pong - now)
        if self._last_life is None:
            return self.timing.silence
        return max(0.0, min(self._silent_at(self._last_life), self._look_at) - now)

    def _silent_at(self, last_life: float) -> float:
        return last_life + max(2 * self._every, self.timing.silence)

    @property
    def _look_at(self) -> float:
        return self._checked_at + (self.timing.report if self.tampered else self.timing.check)

    def on_pong(self, now: float) -> list[Do]:
        """PING was answered: the link is alive, the center is silent unless it was heard since."""
        if self._pinged_at is not None:
            self._pinged_at, self._last_life, self.center_silent = None, now, True
        return []

    def on_down(self) -> None:
        """The path is gone; reads that were under way will not answer."""
        self._last_life = self._pinged_at = None
        self._reading = self._again = False
        self._waiting = ()

    # -- answers to reads ---------------------------------------------------------------------

    def on_log(self, records: Sequence[Record] | None, now: float) -> list[Do]:
        """
        The log after the position asked for, oldest first; ``None`` when it does not reach back.

        All that links is taken as one step: an adoption and the replays behind it never show the
        older state in between.
        """
        self._reading = False
        if records is None or self.state is None:
            return self._read_image()
        counted = vouched(records, self.verifier)
        if any(r.header.ns != self.ns or r.c not in counted for r in records):
            asked = self._on_stranger(records[-1], now)
            self.counters.tampered += not asked
            return asked or self._read_image()
        return self._take(self.state, tuple(records), now)

    def on_image(self, image: Proven, now: float, wall: int, *, confirmed: bool) -> list[Do]:
        """
        The whole namespace, proven outside: that is pure but long, so a driver does it in a thread.
        ``confirmed``: the path itself proves that it is the present (the center over TLS or on this
        machine), which a newcomer without state needs.
        """
        state = image.state
        if is_leap(self.position, state.position):
            return self.on_unreadable(f"{state.position} is out of all reach", now)
        self._reading = False
        self._image_tries = 0
        self.tampered = False
        if state.position <= self.position and self.position > START:
            return self._on_known_image(state, image.head, now)
        if not (confirmed or self._is_present(state, self._said_before)):
            self._unconfirmed = state, image.head
            return [] if image.beat is None else self._on_beat(image.beat, now, wall)
        if confirmed:
            self.confirmed_at = now
        return [*self._advance(state, image.head), *self._done(now)]

    def _on_known_image(self, state: NamespaceState, head: Record, now: float) -> list[Do]:
        if state.position < self.position:
            return self._on_behind(now)
        if state.c != self.mark.c:
            return self._on_fork(now)
        if self.state is not None and self.state.position == state.position:
            return self._done(now)
        return [*self._advance(state, head), *self._done(now)]

    def on_unreadable(self, reason: str, now: float, signer: str = "") -> list[Do]:
        """Instead of an image came what proves nothing; ``signer``: its unknown key, if that."""
        self._reading = False
        if signer and self._lists.on_signer(signer, self.verifier, now):
            return self._catch_up(now)
        self._image_tries += 1
        if self._image_tries < _IMAGE_TRIES:
            self._reading = True
            return [ReadImage(delay=0.05 * 2**self._image_tries)]
        self._image_tries = 0
        self.tampered = True
        self.counters.tampered += 1
        return [*self._tell(reason, now), ChangePath(reason)]

    def on_trust(self, now: float) -> list[Do]:
        """The list of signing keys was read; the verifier has it if it is newer."""
        self._reading = self._lists.wanted = False
        return self._catch_up(now)

    def on_bodies(self, objects: Mapping[str, bytes], now: float) -> list[Do]:
        """Bodies that a record announced by hash (sha256 -> bytes, already compared)."""
        self._objects.update(objects)
        self._reading = False
        waiting, self._waiting = self._waiting, ()
        if self.state is None or not waiting:
            return self._done(now)
        return self._take(self.state, waiting, now, fetched=True)

    # -- rules --------------------------------------------------------------------------------

    def _on_record(self, record: Record, now: float) -> list[Do]:
        position = record.position
        if position < self.position:
            return []
        if position == self.position:
            return [] if record.c == self.mark.c else self._on_fork(now)
        state = self.state
        if state is None or record.header.p != state.c or position.v != state.position.v + 1:
            self.counters.gaps += 1
            return self._catch_up(now)
        if self._reading:
            self._again = True
            return []
        return self._take(state, (record,), now)

    def _on_beat(self, beat: Beat, now: float, wall: int) -> list[Do]:
        if not self._is_life(beat, wall):
            self.counters.dropped += 1
            self.on_pong(now)  # nothing to believe, but the link is alive
            return self._on_stranger(beat, now)
        self.newest_beat = beat.ts
        self._last_life = now
        self._pinged_at = None  # over HTTP no comment answers a PING while the center has beats
        self._every = beat.every
        self.center_silent = False
        self._said = Mark(beat.position, beat.c)
        self._lists.on_version(beat.trust, self.verifier, now)
        waiting, self._unconfirmed = self._unconfirmed, None
        if waiting is not None and self._is_present(waiting[0], self._said):
            return [*self._advance(*waiting), *self._done(now)]
        if beat.position > self.position:
            return self._catch_up(now)
        if beat.c != self.mark.c:
            return self._on_fork(now)
        self.fork = False
        if self.state is None or self.state.position < self.position:
            return self._catch_up(now)
        self.confirmed_at = now
        return self._catch_up(now) if self._lists.wanted else []

    def _on_stranger(self, message: Record | Beat, now: float) -> list[Do]:
        """What was dropped may be of a key that a newer list names: a hint, and seldom followed."""
        kid = message.header.kid if isinstance(message, Record) else message.kid
        return self._catch_up(now) if self._lists.on_signer(kid, self.verifier, now) else []

    def _is_present(self, state: NamespaceState, said: Mark | None) -> bool:
        """To a newcomer only once a fresh beat said so, of this state or of one before it."""
        if self.state is not None or self.position > START:
            return True
        return said is not None and (state.c == said.c or state.position > said.position)

    def _is_life(self, beat: Beat, wall: int) -> bool:
        mine = beat.ns == self.ns and beat.position >= self.position
        fresh = mine and is_fresh(beat, self.newest_beat, wall, self.timing.skew)
        return fresh and beat.verify(self.verifier)

    def _take(
        self,
        state: NamespaceState,
        records: tuple[Record, ...],
        now: float,
        *,
        fetched: bool = False,
    ) -> list[Do]:
        records = tuple(record for record in records if record.position > state.position)
        if not records:
            return self._done(now)
        try:
            for record in records:
                require_next(state.position, state.c, record)
                state = state.apply(record, self._objects)
        except MissingBodies as error:
            if fetched:  # gone since: only what a later change replaced is ever removed
                return self._read_image()
            self._waiting = records
            self._reading = True
            return [ReadBodies(frozenset(error.hashes))]
        except NotVerified:
            self.counters.gaps += 1
            return self._read_image()
        self._objects.clear()
        if state.position < self.position:
            return self._on_behind(now)
        if state.position == self.position and state.c != self.mark.c:
            return self._on_fork(now)
        return [*self._advance(state, records[-1], records), *self._done(now)]

    def _advance(
        self, state: NamespaceState, head: Record, records: tuple[Record, ...] = ()
    ) -> list[Do]:
        self.state = state
        self.mark = Mark(state.position, state.c)
        self.fork = False
        self._unconfirmed = None
        return [Advance(state, head, records)]

    def _catch_up(self, now: float) -> list[Do]:
        wanted = self._lists.wanted
        if self.tampered and not wanted and now - self._checked_at < self.timing.report:
            return []  # every heartbeat would have the whole damaged store read again
        self._checked_at = now
        if self._reading:
            self._again = True
            return []
        if wanted:
            self._reading = True
            return [ReadTrust()]
        if self.state is None or self.state.position < self.position:
            return self._read_image()
        self._reading = True
        return [ReadLog(self.state.position)]

    def _read_image(self) -> list[Do]:
        self._reading = True
        self._said_before = self._said  # what comes is newer, however long it takes to come
        return [ReadImage()]

    def _on_fork(self, now: float) -> list[Do]:
        self.fork = True
        self.counters.forks += 1
        return self._tell("another history at our position", now) or self._done(now)

    def _on_behind(self, now: float) -> list[Do]:
        """What was read is older than what was applied: serve on, say so, look elsewhere."""
        reason = "the store is behind this client"
        return [*self._tell(reason, now), *self._done(now), ChangePath(reason)]

    def _tell(self, reason: str, now: float) -> list[Do]:
        if self._told_at is not None and now - self._told_at < self.timing.report:
            return []
        self._told_at = now
        return [TellCenter(reason)]

    def _done(self, now: float) -> list[Do]:
        if not self._again or self._reading:
            return []
        self._again = False
        return self._catch_up(now)
