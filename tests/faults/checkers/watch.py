"""
What every client must have seen, after the validators of etcd's robustness tests.

``ordered``: no step goes back. ``unique``: no position is applied twice. ``atomic``: what a client
serves at a position is exactly what the history holds there, never a part or a mixture of two.
``reliable``: in the end it is at the end of history. ``resumable``: a restart goes on at or above
where it ended. ``backward``: what publishers only count up is never seen to go down, also where
the position grows (an adoption must not show the older state that it mends). ``bookmarkable``: who
says "confirmed at time T, position P" was offered whatever was acknowledged before T.

One thing differs from etcd: a configuration is a state and not a queue, so a client that was away
may jump over changes; it may never show one that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Place = tuple[int, int]
Values = Mapping[str, object]


@dataclass(frozen=True)
class Change:
    """One record of history: its chain value, the one before, where it lies, what it sets."""

    c: bytes
    p: bytes
    position: Place
    sets: Values


@dataclass(frozen=True)
class Step:
    """A client serves ``values``, whole, at ``position`` since ``at`` (seconds)."""

    at: float
    position: Place
    values: Values


@dataclass(frozen=True)
class Restart:
    """The client's process began anew."""


@dataclass(frozen=True)
class Bookmark:
    """The client held ``position`` when it was told by a beat that was signed at ``signed``."""

    signed: float
    position: Place


@dataclass(frozen=True)
class Acknowledged:
    """``key`` was set to ``value`` and the publisher heard so at ``at``."""

    key: str
    value: object
    at: float


@dataclass
class History:
    """All records that anybody may have seen, also of lines that were left."""

    states: dict[Place, list[dict[str, object]]] = field(default_factory=dict)
    places: dict[tuple[str, object], list[Place]] = field(default_factory=dict)
    newest: Place = (0, 0)

    @classmethod
    def of(cls, changes: Iterable[Change]) -> History:
        """Replay records in any order; one whose predecessor is unknown begins with nothing."""
        history, by_c = cls(), {}
        for change in sorted(changes, key=lambda each: each.position):
            state = {**by_c.get(change.p, {}), **change.sets}
            by_c[change.c] = state
            history.states.setdefault(change.position, []).append(state)
            for key, value in change.sets.items():
                history.places.setdefault((key, value), []).append(change.position)
            history.newest = max(history.newest, change.position)
        return history


@dataclass(frozen=True)
class Seen:
    """One client's life."""

    name: str
    steps: Sequence[Step | Restart]
    bookmarks: Sequence[Bookmark] = ()


def check(history: History, seen: Seen, acknowledged: Iterable[Acknowledged] = ()) -> list[str]:
    """What is wrong with what one client saw, each as ``rule: sentence``; empty: nothing."""
    steps = [step for step in seen.steps if isinstance(step, Step)]
    found = [
        *_out_of_order(seen.steps),
        *_backward(steps),
        *(wrong for step in steps for wrong in _mixed(history, step)),
        *_behind(history, steps),
        *_late(history, seen.bookmarks, list(acknowledged)),
    ]
    return [f"{wrong} ({seen.name})" for wrong in found]


def _out_of_order(steps: Sequence[Step | Restart]) -> Iterable[str]:
    last: Place = (0, 0)
    restarted = False
    for step in steps:
        if isinstance(step, Restart):
            restarted = True
            continue
        if step.position < last:
            rule = "resumable" if restarted else "ordered"
            yield f"{rule}: {step.position} after {last}"
        elif step.position == last and not restarted:
            yield f"unique: {step.position} twice"
        last, restarted = max(last, step.position), False


def _backward(steps: Sequence[Step]) -> Iterable[str]:
    highest: dict[str, int] = {}
    for step in steps:
        for key, value in step.values.items():
            if isinstance(value, int):
                if value < highest.get(key, value):
                    yield f"backward: {key}={value} at {step.position} after {highest[key]}"
                highest[key] = max(value, highest.get(key, value))


def _mixed(history: History, step: Step) -> Iterable[str]:
    states = history.states.get(step.position)
    if states is None:
        yield f"atomic: {step.position} is nowhere in history"
    elif dict(step.values) not in states:
        yield f"atomic: {dict(step.values)} at {step.position} instead of {states}"


def _behind(history: History, steps: Sequence[Step]) -> Iterable[str]:
    last = steps[-1].position if steps else None
    if last != history.newest:
        yield f"reliable: it ended at {last} and history at {history.newest}"


def _late(
    history: History, bookmarks: Iterable[Bookmark], acknowledged: Sequence[Acknowledged]
) -> Iterable[str]:
    for mark in bookmarks:
        for each in acknowledged:
            places = history.places.get((each.key, each.value), [])
            if each.at < mark.signed and places and min(places) > mark.position:
                yield (
                    f"bookmarkable: confirmed at {mark.position}, though {each.key}={each.value} "
                    f"was acknowledged before at {min(places)}"
                )
                break


def lost(
    present: Mapping[str, Sequence[object]], acknowledged: Iterable[Acknowledged]
) -> list[str]:
    """What was acknowledged and is in no version of its key."""
    there = {key: set(values) for key, values in present.items()}
    return [
        f"lost: {each.key}={each.value}"
        for each in acknowledged
        if each.value not in there.get(each.key, ())
    ]


def doubled(present: Mapping[str, Sequence[object]]) -> list[str]:
    """What took effect more than once."""
    return [
        f"doubled: {key}={value}"
        for key, values in present.items()
        for value in sorted(set(values), key=str)
        if list(values).count(value) > 1
    ]
