"""
What serves at one position: values, canaries, live modules. Immutable, and swapped as one
reference.

A reader takes ``serving.current`` once and has everything of one position; nothing it reaches from
there changes under it. Two things about a :class:`Served` do change, and neither is what it says:
``open`` counts its readers, ``sealed`` tells late comers that they came too late.

**Pins without a lock.** To enter: add a token to ``open``, *then* look at ``sealed``; if it is set,
take the token out and start over with the current one. To retire: set ``sealed``, *then* look at
``open``; empty means drained. Whichever came first, at least one of the two sees the other: a
reader that got in is in ``open`` when the retirement looks. Adding to a set, taking out of it and
storing an attribute are each one step for all threads of CPython.

**Overlays.** Units in the same canaries share one overlay, made when the first of them comes. It
refers to instances, it does not own any, so k rollouts make k + 1 instances of a module at most and
not 2^k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from client_sdk.errors import NotReady, UnknownKey, UsageError
from client_sdk.greyscale import NO_ROLLOUT
from client_sdk.outcomes import CANARY, MISSING, STABLE, Resolution
from client_sdk.records import START
from client_sdk.suggestions import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.contents import Rollout
    from client_sdk.greyscale import Decider, Decision
    from client_sdk.modules.instance import Instance
    from client_sdk.outcomes import Refusal
    from client_sdk.records import Position
    from client_sdk.state import Entry


@dataclass(frozen=True, slots=True)
class Rolling:
    """A key in a rollout: both values (MISSING where an arm has none), and who is asked."""

    rollout: Rollout
    decide: Decider
    stable: Any
    canary: Any


@dataclass(frozen=True, slots=True)
class Canary:
    """One rollout by device: the values and instances its canary units get instead."""

    rollout: Rollout
    decide: Decider
    values: Mapping[str, Any]  # MISSING: the canary removes the key
    modules: Mapping[str, Instance | None]


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the units of one set of canaries get."""

    values: Mapping[str, Any]
    modules: Mapping[str, Instance]


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything a :class:`Served` says; ``values`` are this instance's own, with defaults."""

    position: Position
    entry: Callable[[str], Entry | None]
    values: Mapping[str, Any]
    rolling: Mapping[str, Rolling]
    own: Mapping[str, Decision]  # rollout by instance -> what this instance is in
    canaries: Mapping[str, Canary]  # rollout by device -> its canary
    modules: Mapping[str, Instance]
    declared: frozenset[str]
    defaults: Mapping[str, Any]
    refused: Mapping[str, Refusal]  # module without anything to serve -> why


class Served:
    """One :class:`Offer`, its readers, and the overlays made so far."""

    __slots__ = ("_overlays", "offer", "open", "sealed", "values")

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.values = offer.values
        self.open: set[object] = set()
        self.sealed = False
        base = Overlay(offer.values, offer.modules)
        self._overlays: dict[frozenset[str], Overlay] = {frozenset(): base}

    def decisions(self, unit: str | None, attributes: Mapping[str, object]) -> dict[str, Decision]:
        """What a unit is in: rollout by device -> decision."""
        canaries = self.offer.canaries.items()
        return {name: canary.decide(unit, attributes) for name, canary in canaries}

    def overlay(self, decisions: Mapping[str, Decision]) -> Overlay:
        """The overlay of a unit with these decisions."""
        arms = frozenset(name for name, made in decisions.items() if made.arm == CANARY)
        found = self._overlays.get(arms)
        # Two threads may make the same one; both then use the one that came first.
        return found or self._overlays.setdefault(arms, self._merged(arms))

    def instances(self) -> set[Instance]:
        """Every instance that some unit may get."""
        used = set(self.offer.modules.values())
        for canary in self.offer.canaries.values():
            used.update(one for one in canary.modules.values() if one is not None)
        return used

    def resolve(self, key: str, decisions: Mapping[str, Decision], overlay: Overlay) -> Resolution:
        """What a unit gets of ``key`` and why. Raises UnknownKey or NotReady: nothing."""
        rolling = self.offer.rolling.get(key)
        decision, rollout = NO_ROLLOUT, None
        if rolling is not None:
            rollout = rolling.rollout.id
            decision = decisions.get(rollout) or self.offer.own[rollout]
        value = overlay.values.get(key, MISSING)
        if value is MISSING:
            raise self.unknown(key)
        version = self.version(key, decision.arm)
        reason = "default" if version is None and rollout is None else decision.reason
        return Resolution(value, version, decision.arm, reason, decision.bucket, rollout)

    def version(self, key: str, arm: str | None = None) -> int | None:
        """The version an arm (``None``: this instance's own) gets; ``None`` when it gets none."""
        entry = self.offer.entry(key)
        if entry is None:
            return None
        if arm is None:
            rolling = self.offer.rolling.get(key)
            own = None if rolling is None else self.offer.own.get(rolling.rollout.id)
            arm = STABLE if own is None else own.arm
        content = entry.content
        if arm == CANARY and entry.rollout is not None:
            content = entry.rollout.content
        return None if content is None else content.version

    def missing(self, key: str, values: Mapping[str, Any], default: Any) -> Any:
        """The answer for a key that was not found in ``values``: the default, or an error."""
        if key in values:
            return values[key]  # it came between the look and the question
        if default is not MISSING:
            return default
        raise self.unknown(key, values)

    def unknown(self, key: str, values: Mapping[str, Any] | None = None) -> Exception:
        """Why there is no value: UnknownKey with the nearest names, or NotReady."""
        refusal = self.offer.refused.get(key)
        if refusal is not None:
            return NotReady({key: str(refusal)})
        return UnknownKey(key, nearest(key, self.values if values is None else values))

    def no_module(self, key: str, values: Mapping[str, Any]) -> Exception:
        """Why there is no module: not declared, refused, or no such key."""
        if key not in self.offer.declared:
            return UsageError(f"{key!r} is no module here; declare it: client.module({key!r}, ...)")
        return self.unknown(key, values)

    def _merged(self, arms: frozenset[str]) -> Overlay:
        # One flat dict, though most of it is the same: a read is then a single lookup.
        values = dict(self.values)
        modules: dict[str, Instance | None] = dict(self.offer.modules)
        for name in arms:
            canary = self.offer.canaries[name]
            values.update(canary.values)
            modules.update(canary.modules)
            for key, value in canary.values.items():
                if value is MISSING:
                    del values[key]
        return Overlay(values, {key: one for key, one in modules.items() if one is not None})


def nothing(defaults: Mapping[str, Any]) -> Served:
    """What serves before anything is known: the defaults."""
    return Served(
        Offer(
            position=START,
            entry=lambda _: None,
            values=dict(defaults),  # exactly a dict: the interpreter is quicker with one
            rolling={},
            own={},
            canaries={},
            modules={},
            declared=frozenset(),
            defaults=defaults,
            refused={},
        )
    )
