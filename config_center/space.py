"""
One namespace as the service holds it: its ledger, and what is derived from it.

``past`` observes the ledger: it is brought up in the same step as the state, so who reads a state
finds its past.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.data_keys import SHREDDED
from client_sdk.greyscale import decider
from client_sdk.records import START
from client_sdk.sealing import FINGERPRINT, RingEntry, Sealer
from client_sdk.suggestions import did_you_mean
from config_center.fleet import Fleet
from config_center.past import Past
from config_center.problems import not_found, too_large
from config_center.publishing import Tools, plan_change
from config_center.reading import key_words
from config_center.rollouts.book import timestamp
from config_center.schemas import PREFIX
from config_center.scopes import EVERYTHING
from config_center.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from client_sdk.image import Ring
    from client_sdk.keks import Keks
    from client_sdk.records import Record
    from client_sdk.sealing import Rng
    from client_sdk.state import Entry, NamespaceState
    from config_center.bounds import Limits
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.words import Planned
    from config_center.publishing import Change
    from config_center.rollouts.book import Story
    from config_center.scopes import Reach

_NEAR = 50


@dataclass(slots=True)
class _Rendered:
    state: NamespaceState
    entry: Entry
    schema: Entry | None
    body: bytes
    etag: str


class Space:
    """``past`` follows the ledger in a task of its own; :meth:`catch_up` brings it up to now."""

    def __init__(self, ledger: Ledger, limits: Limits, keks: Callable[[], Keks], rng: Rng) -> None:
        self.ledger = ledger
        self.past = Past()
        self.fleet = Fleet()
        self.cursors: dict[str, str] = {}
        self._limits = limits
        self._sizes = Sizes()
        self._keks = keks
        self._rng = rng
        self._rendered: dict[str, _Rendered] = {}
        self._sorted: tuple[NamespaceState | None, list[str]] = (None, [])
        self._ring: tuple[Ring, dict[str, RingEntry]] = ({}, {})
        self._fingerprint: RingEntry | None = None

    async def open(self) -> None:
        """Read the past from the journal, and observe what comes."""
        journal, ns = self.ledger.journal, self.ledger.ns
        headers = await journal.headers(ns)
        base = await journal.base_image(ns, bodies=False)
        for header in await journal.past_headers(ns):
            self.past.credit(header)
        begin = START if base is None else base.head.position
        for header in headers:
            if header.position <= begin:
                self.past.fold(header)
        if base is not None:
            self.past.begin(base.entries, begin)
        for header in headers:
            self.past.fold(header)
        for record in self.ledger.recent.values():  # committed while the journal was read
            self.past.fold(record.header)
        self.ledger.observers.append(self._observe)

    def close(self) -> None:
        """Observe no more."""
        if self._observe in self.ledger.observers:
            self.ledger.observers.remove(self._observe)

    def _observe(self, record: Record) -> None:
        self.past.fold(record.header)

    # -- reading ------------------------------------------------------------------------------

    def entry(self, key: str, reach: Reach = EVERYTHING) -> Entry:
        """
        The entry of a key that exists. Raises Problem 404, which may name a key of nearly this name
        that is within the reach of whoever asks.
        """
        entry = self.ledger.state.entries.get(key)
        if entry is None or not entry.exists or key.startswith("_"):
            where = f"there is no key {key[:200]!r} in {self.ledger.ns}"
            raise not_found(where + did_you_mean(key[:200], self._near(key, reach)), key=key[:200])
        return entry

    def _near(self, key: str, reach: Reach) -> list[str]:
        """Names around it in the alphabet: comparing with all of many would hold the loop."""
        names = self.keys(reach)
        at = bisect_left(names, key)
        return names[max(0, at - _NEAR) : at + _NEAR]

    def keys(self, reach: Reach = EVERYTHING) -> list[str]:
        """The names of all keys within the reach, sorted."""
        state = self.ledger.state
        if self._sorted[0] is not state:
            self._sorted = state, state.keys()
        names, ns = self._sorted[1], self.ledger.ns
        return names if reach.whole(ns) else [name for name in names if reach.holds(ns, name)]

    def key_bytes(self, key: str, reach: Reach = EVERYTHING) -> tuple[bytes, str]:
        """The rendered answer of ``GET key`` and its ETag, kept until the entry changes."""
        state = self.ledger.state
        kept = self._rendered.get(key)
        if kept is not None and kept.state is state:
            return kept.body, kept.etag
        entry, schema = self.entry(key, reach), state.entries.get(PREFIX + key)
        if kept is not None and kept.entry is entry and kept.schema is schema:
            kept.state = state
            return kept.body, kept.etag
        about = self.past.about(key, entry.version)
        body = orjson.dumps(key_words(state, entry, about))
        kept = _Rendered(state, entry, schema, body, f'"{entry.position}"')
        self._rendered[key] = kept
        return kept.body, kept.etag

    def story_words(self, story: Story) -> dict[str, Any]:
        """A rollout with how far it got; the counts of an ended one are of what is known now."""
        keys = {key: about["to"] for key, about in story.keys.items()}
        decision = decider(story.rollout)

        def chosen(device: str) -> bool:
            return story.running and decision(device, {}).arm == "canary"

        return {**story.to_json(), "units": self.fleet.units(keys, story.rollout.unit, chosen)}

    def shredded_words(self, deks: Iterable[str]) -> dict[str, Any] | None:
        """When the first of these data keys was destroyed, and by whom; None: none of them was."""
        entries = self.ledger.state.entries
        gone = [SHREDDED + dek for dek in deks if SHREDDED + dek in entries]
        if not gone:
            return None
        # Beyond the base of a journal that began with a snapshot nobody knows who it was.
        known = [about for key in gone if (about := self.past.about(key, 1)) is not None]
        first = min(known, key=lambda about: about.ts, default=None)
        at, by = (None, None) if first is None else (timestamp(first.ts), first.author)
        return {"at": at, "by": by}

    # -- planning -----------------------------------------------------------------------------

    def plan(self, state: NamespaceState, change: Change, *, dry: bool = False) -> Planned:
        """What a change comes to here. Raises Problem."""
        ring = self._known_ring()
        extra: dict[str, RingEntry] = {}
        if dry:
            # With a fingerprint key that is nobody's: a dry run confirms no guess at a secret.
            ring = {name: entry for name, entry in ring.items() if name != FINGERPRINT}
        elif self._fingerprint is not None and FINGERPRINT not in ring:
            extra[FINGERPRINT] = self._fingerprint
        sealer = Sealer(self.ledger.ns, ring, self._keks(), self._rng)
        planned = plan_change(state, change, Tools(self._limits, sealer, extra))
        self._check_room(state, planned)
        made = planned.ring.get(FINGERPRINT)
        if made is not None and not dry:
            # One fingerprint key for all that are planned before the ring is stored.
            self._fingerprint = RingEntry.parse(made)
        return planned

    def _check_room(self, state: NamespaceState, planned: Planned) -> None:
        keys, size = self._sizes.of(state)
        new_keys, new_size = self._sizes.after(state, planned.ops)
        limits = self._limits
        if new_keys > max(keys, limits.keys):  # what makes room is never refused
            raise too_large(f"a namespace has at most {limits.keys} keys", limits.keys)
        if new_size > max(size, limits.namespace_bytes):
            limit = limits.namespace_bytes
            raise too_large(f"a namespace holds at most {limit} bytes; remove some keys", limit)

    def _known_ring(self) -> dict[str, RingEntry]:
        ring = self.ledger.ring
        before, known = self._ring
        if before is not ring:
            # By its text, not by its name: an exchange of the key wraps the same data key anew.
            parsed = {
                name: known[name] if before.get(name) == text else RingEntry.parse(text)
                for name, text in ring.items()
            }
            self._ring = ring, parsed
        return self._ring[1]
