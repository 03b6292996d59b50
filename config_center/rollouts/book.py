"""
Every rollout of a namespace that history knows, the ended ones too. Pure.

A header says only what a key is now, so how a rollout ended is seen by comparing: an operation
``rollout`` that makes the canary's version the stable one promoted it, anything else that takes the
rollout off a key (a removal that supersedes a canary removal, too) aborted it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.contents import Op, Rollout
    from client_sdk.records import Header
    from client_sdk.state import Entry

_KEPT = 1000


def timestamp(ms: int) -> str:
    """RFC 3339, UTC."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Story:
    """One rollout from its beginning to now."""

    rollout: Rollout
    keys: dict[str, dict[str, Any]]
    state: str
    decisions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """True until it was promoted or aborted."""
        return self.state in ("running", "paused")

    def to_json(self) -> dict[str, Any]:
        """As the API shows it, without the counts of units."""
        rollout = self.rollout
        return {
            "id": rollout.id,
            "keys": list(self.keys.values()),
            "state": self.state,
            "percent": rollout.percent,
            "unit": rollout.unit,
            "salt": rollout.salt,
            "allow": list(rollout.allow),
            "deny": list(rollout.deny),
            "rules": list(rollout.rules),
            "min_devices": rollout.min_devices,
            "steps": list(rollout.steps),
            "step": rollout.step,
            "started_at": timestamp(rollout.started_at),
            "by": rollout.by,
            "decisions": list(self.decisions),
        }


class Book:
    """Feed it every header of a namespace in order; ask it for stories."""

    def __init__(self) -> None:
        self._stories: dict[str, Story] = {}
        self._running: dict[str, str] = {}

    def observe(self, header: Header) -> None:
        """What a change says about rollouts."""
        told: set[str] = set()
        for op in header.ops:
            previous = self._running.get(op.key)
            current = None if op.rollout is None else op.rollout.id
            if previous is not None and previous != current:
                self._end(self._stories[previous], op, header, told)
                del self._running[op.key]
            if op.rollout is not None:
                self._go_on(op, op.rollout, header, told)

    def begin(self, entries: Iterable[Entry]) -> None:
        """
        Go on from a state: what runs in it runs, with what it says itself; what was seen running
        before and does not run in it ended unseen, and is forgotten.
        """
        self._running = {}
        for entry in entries:
            rollout = entry.rollout
            if rollout is None:
                continue
            story = self._stories.setdefault(rollout.id, Story(rollout, {}, rollout.state))
            story.rollout, story.state = rollout, rollout.state
            to = None if rollout.content is None else rollout.content.version
            row = {"key": entry.key, "from": entry.version, "to": to}
            story.keys.setdefault(entry.key, row)
            self._running[entry.key] = rollout.id
        live = set(self._running.values())
        known = self._stories.items()
        self._stories = {name: s for name, s in known if not s.running or name in live}

    def stories(self) -> list[Story]:
        """Running ones first, then the newest."""
        live = {"running": 0, "paused": 0}
        return sorted(
            self._stories.values(),
            key=lambda story: (live.get(story.state, 1), -story.rollout.started_at),
        )

    def find(self, id_or_key: str) -> Story | None:
        """By id, or by a key: the one that runs on it, else the last that did."""
        ident = self._running.get(id_or_key, id_or_key)
        if ident in self._stories:
            return self._stories[ident]
        return next((s for s in reversed(self._stories.values()) if id_or_key in s.keys), None)

    def moved_at(self, position: str) -> Story | None:
        """The rollout that the change at this position moved or ended."""
        for story in self._stories.values():
            if any(decision["position"] == position for decision in story.decisions):
                return story
        return None

    def _go_on(self, op: Op, rollout: Rollout, header: Header, told: set[str]) -> None:
        story = self._stories.get(rollout.id)
        verb = "step"
        if story is None:
            story = self._stories[rollout.id] = Story(rollout, {}, rollout.state)
            verb = "start"
            self._forget()
        elif story.state != rollout.state:
            verb = "pause" if rollout.state == "paused" else "resume"
        if op.key not in story.keys:
            to = None if rollout.content is None else rollout.content.version
            before = None if op.content is None else op.content.version
            story.keys[op.key] = {"key": op.key, "from": before, "to": to}
        story.rollout, story.state = rollout, rollout.state
        self._running[op.key] = rollout.id
        if rollout.id not in told:
            told.add(rollout.id)
            story.decisions.append(_decision(header, verb, rollout.percent))

    def _end(self, story: Story, op: Op, header: Header, told: set[str]) -> None:
        to = story.keys[op.key]["to"]
        now = None if op.content is None else op.content.version
        promoted = op.op == "rollout" and now == to
        story.state = "promoted" if promoted else "aborted"
        if story.rollout.id not in told:
            told.add(story.rollout.id)
            verb = "promote" if story.state == "promoted" else "abort"
            story.decisions.append(_decision(header, verb, story.rollout.percent))

    def _forget(self) -> None:
        ended = [s for s in self._stories.values() if s.state in ("promoted", "aborted")]
        if len(ended) > _KEPT:
            oldest = min(ended, key=lambda story: story.rollout.started_at)
            del self._stories[oldest.rollout.id]


def _decision(header: Header, verb: str, percent: float) -> dict[str, Any]:
    return {
        "at": timestamp(header.ts),
        "by": header.author,
        "what": verb,
        "percent": percent,
        "comment": header.comment,
        "position": str(header.position),
    }
