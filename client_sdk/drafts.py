"""
Entries become an :class:`Offer`: values read, who gets them decided, modules named.

A draft is made from the offer before it, so a change of one key costs the same work in a namespace
of 20,000 keys as in one of 20, apart from the copy of one dict.

Failures do not stop a draft: all are found, told together, and the caller decides what to hold.
Pure; reading many bytes is for a thread (``weight`` says how many).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from client_sdk.errors import ConfigError
from client_sdk.greyscale import decider
from client_sdk.modules.redaction import reason_of
from client_sdk.modules.spec import ModuleSpec, Order
from client_sdk.outcomes import CANARY, MISSING, STABLE, Applied, KeyChange, Refusal
from client_sdk.served import Canary, Offer, Rolling
from client_sdk.values import freeze

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from client_sdk.contents import Content
    from client_sdk.greyscale import Decision
    from client_sdk.holding import Holding
    from client_sdk.modules.instance import Instance
    from client_sdk.served import Served
    from client_sdk.state import Entry, NamespaceState

    Slot = tuple[str, "str | None"]  # a module, and the rollout by device whose canary it is for


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries that serve: the held ones, else the target's."""

    target: NamespaceState
    older: Mapping[str, Entry]

    @classmethod
    def of(cls, target: NamespaceState, holding: Holding) -> Entries:
        """The entries under ``holding``."""
        return cls(target, holding.older)

    def get(self, key: str) -> Entry | None:
        """The entry that serves ``key``; ``None`` where nothing does."""
        entry = self.older.get(key)
        if entry is None:
            entry = self.target.entries.get(key)
        return entry if entry is not None and entry.exists else None

    def differing(self, before: Served, keys: Iterable[str]) -> dict[str, Entry | None]:
        """Those of ``keys`` that serve something else than before."""
        serving = before.offer.entry
        pairs = ((key, self.get(key), serving(key)) for key in keys if not key.startswith("_"))
        return {key: now for key, now, was in pairs if now is not was and now != was}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the contents of touched keys say; ``rolling`` and ``stable`` hold what could be read."""

    stable: Mapping[str, Any]
    rolling: Mapping[str, Rolling]
    failures: tuple[Refusal, ...]


def weight(entries: Iterable[Entry | None]) -> int:
    """How many bytes there are to read."""
    return sum(content.size for entry in entries if entry for content in entry.contents)


def read(entries: Mapping[str, Entry | None]) -> Reading:
    """Decode and freeze what these entries serve; MISSING where an arm has nothing."""
    stable: dict[str, Any] = {}
    rolling: dict[str, Rolling] = {}
    failures: list[Refusal] = []
    for key, entry in entries.items():
        arm = STABLE
        content = None if entry is None else entry.content
        try:
            stable[key] = _value(content)
            if entry is not None and entry.rollout is not None:
                arm, content = CANARY, entry.rollout.content
                rollout = entry.rollout
                rolling[key] = Rolling(rollout, decider(rollout), stable[key], _value(content))
        except ConfigError as error:
            failures.append(_refusal(entry, key, arm, "decode", reason_of(error)))
    return Reading(stable, rolling, tuple(failures))


class Draft:
    """An offer in the making. Read the slots after :func:`draft`, put instances in, then finish."""

    __slots__ = ("canaries", "defaults", "entries", "own", "rolling", "specs", "values")

    def __init__(
        self,
        entries: Entries,
        before: Offer,
        reading: Reading,
        rolling: Mapping[str, Rolling],
        own: Mapping[str, Decision],
        specs: Mapping[str, ModuleSpec],
    ) -> None:
        self.entries = entries
        self.own = own
        self.specs = specs
        self.defaults = before.defaults
        self.rolling = rolling
        values = dict(before.values)
        for key in reading.stable:
            self._put(values, key, reading.stable[key])
        for key, one in self.rolling.items():
            decision = own.get(one.rollout.id)
            mine = one.canary if decision is not None and decision.arm == CANARY else one.stable
            self._put(values, key, mine)
        self.values = values
        self.canaries = self._canaries()

    def orders(self) -> dict[Slot, Order]:
        """The modules that some unit may get, and what to make them of."""
        orders: dict[Slot, Order] = {}
        for key, spec in self.specs.items():
            if key in self.values:
                orders[key, None] = Order(spec, self._content(key), self.values[key])
            for name, canary in self.canaries.items():
                if canary.values.get(key, MISSING) is not MISSING:
                    content = self.rolling[key].rollout.content
                    orders[key, name] = Order(spec, content, canary.values[key])
        return orders

    def refusal(self, slot: Slot, step: str, reason: str) -> Refusal:
        """The refusal of one order."""
        key, name = slot
        arm = STABLE if name is None and not self._own_canary(key) else CANARY
        return _refusal(self.entries.get(key), key, arm, step, reason)

    def without(self, keys: Iterable[str]) -> None:
        """Serve nothing of these keys: a value serves only together with its module."""
        for key in keys:
            self.values.pop(key, None)

    def finish(self, made: Mapping[Slot, Instance], refused: Mapping[str, Refusal]) -> Offer:
        """The offer with these instances; ``refused``: why a module has nothing to serve."""
        canaries = {}
        for name, canary in self.canaries.items():
            instances = {key: made.get((key, name)) for key in canary.values if key in self.specs}
            canaries[name] = Canary(canary.rollout, canary.decide, canary.values, instances)
        return Offer(
            position=self.entries.target.position,
            entry=self.entries.get,
            values=self.values,
            rolling=self.rolling,
            own=self.own,
            canaries=canaries,
            modules={key: one for (key, name), one in made.items() if name is None},
            declared=frozenset(self.specs),
            defaults=self.defaults,
            refused=refused,
        )

    def _put(self, values: dict[str, Any], key: str, value: Any) -> None:
        if value is MISSING:
            value = self.defaults.get(key, MISSING)
        if value is MISSING:
            values.pop(key, None)
        else:
            values[key] = value

    def _canaries(self) -> dict[str, Canary]:
        canaries: dict[str, Canary] = {}
        for key, one in self.rolling.items():
            if one.rollout.id in self.own:
                continue
            value = self.defaults.get(key, MISSING) if one.canary is MISSING else one.canary
            empty = Canary(one.rollout, one.decide, {}, {})
            canary = canaries.get(one.rollout.id, empty)
            values = {**canary.values, key: value}
            canaries[one.rollout.id] = Canary(canary.rollout, canary.decide, values, {})
        return canaries

    def _own_canary(self, key: str) -> bool:
        rolling = self.rolling.get(key)
        decision = None if rolling is None else self.own.get(rolling.rollout.id)
        return decision is not None and decision.arm == CANARY

    def _content(self, key: str) -> Content | None:
        if self._own_canary(key):
            return self.rolling[key].rollout.content
        entry = self.entries.get(key)
        return None if entry is None else entry.content


def differing(was: NamespaceState, now: NamespaceState) -> frozenset[str]:
    """The keys whose entries are not the same."""
    old, new = was.entries, now.entries
    gone = {key for key in old if key not in new}
    return frozenset(gone | {key for key in new if new[key] != old.get(key)})


def rolling_after(before: Offer, reading: Reading) -> dict[str, Rolling]:
    """The keys in rollouts after what was read."""
    kept = {key: one for key, one in before.rolling.items() if key not in reading.stable}
    return {**kept, **reading.rolling}


def changes(
    before: Served, after: Served, keys: Iterable[str], *, first: bool
) -> tuple[KeyChange, ...]:
    """What changed for this instance itself among ``keys``; ``first``: nothing served before."""
    position = after.offer.position
    found = []
    for key in sorted(keys):
        was, now = before.values.get(key, MISSING), after.values.get(key, MISSING)
        old, new = before.version(key), after.version(key)
        if old != new or (was is MISSING) != (now is MISSING) or (old is None and was != now):
            entries = before.offer.entry(key), after.offer.entry(key)
            reason = "start" if first else _reason(*entries)
            found.append(KeyChange(key, was, old, now, new, position, reason))
    return tuple(found)


def applied(before: Served, entries: Mapping[str, Entry | None]) -> tuple[Applied, ...]:
    """Which versions serve now, of keys whose entries changed."""
    found: list[Applied] = []
    for key, now in sorted(entries.items()):
        was = before.offer.entry(key)
        found += _applied_to_all(key, was, now)
        found += _applied_to_some(key, was, now)
    return tuple(found)


def _applied_to_all(key: str, was: Entry | None, now: Entry | None) -> Iterator[Applied]:
    old = None if was is None else was.content
    new = None if now is None else now.content
    if old != new:
        yield Applied(key, None if new is None else new.version, STABLE)


def _applied_to_some(key: str, was: Entry | None, now: Entry | None) -> Iterator[Applied]:
    running = None if was is None else was.rollout
    canary = None if now is None else now.rollout
    if canary is not None and (running is None or running.id != canary.id):
        version = None if canary.content is None else canary.content.version
        yield Applied(key, version, CANARY, canary.id)


def _reason(was: Entry | None, now: Entry | None) -> str:
    """Why a key changed; where there is no entry a default came or went, as modules started."""
    if now is None:
        return "start" if was is None else "delete"
    if now.rollout is not None or (was is not None and _ends_rollout(was, now)):
        return "rollout"
    if now.content is not None and now.content.rollback_of is not None:
        return "rollback"
    return "publish"


def _ends_rollout(was: Entry, now: Entry) -> bool:
    """True when what serves now was part of the rollout: promoted, or what it began with."""
    if was.rollout is None:
        return False
    return now.content in (was.content, was.rollout.content)


def _value(content: Content | None) -> Any:
    return MISSING if content is None else freeze(decode_body(content)[0])


def _refusal(entry: Entry | None, key: str, arm: str, step: str, reason: str) -> Refusal:
    rollout = None if entry is None or arm == STABLE else entry.rollout
    content = None if entry is None else entry.content
    if rollout is not None:
        content = rollout.content
    version = None if content is None else content.version
    name = None if rollout is None else rollout.id
    return Refusal(frozenset({key}), key, version, arm, step, reason, name)


class Tried:
    """A draft and what became of its modules."""

    __slots__ = ("dead", "draft", "failures", "made", "touched")

    def __init__(
        self, touched: Mapping[str, Entry | None], draft: Draft, failures: list[Refusal]
    ) -> None:
        self.touched = touched
        self.draft = draft
        self.failures = failures
        self.made: dict[Slot, Instance] = {}
        self.dead: dict[Slot, Refusal] = {}  # made of a default: nothing to fall back to
