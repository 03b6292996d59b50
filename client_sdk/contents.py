"""
What a change says about one key: its content, its canary, its whole new entry.

An operation carries the *whole resulting entry* of its key, not an instruction to be interpreted.
So "apply" is a replacement, the center and every client compute the same state by construction, and
a rollout's percentage or lists are covered by the same digest as the values. Rejected: deltas
("percent += 10"), which two versions of the library could read differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from client_sdk import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}\Z")
RESERVED_KEY = re.compile(r"_[a-z0-9][a-z0-9._-]{0,159}\Z")


@dataclass(frozen=True, slots=True)
class Content:
    """
    One version of a key's value, by hash.

    ``body`` holds the stored bytes once they are at hand; it is never part of what is signed
    (``sha256`` is), so two contents are equal when version, hash, size and format are.
    """

    version: int
    sha256: str
    size: int
    format: str
    rollback_of: int | None = None
    body: bytes | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The signed form."""
        plain: dict[str, Any] = {
            "version": self.version,
            "sha256": self.sha256,
            "size": self.size,
            "format": self.format,
        }
        if self.rollback_of is not None:
            plain["rollback_of"] = self.rollback_of
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Content:
        """The inverse of :meth:`to_json`."""
        return cls(
            fields.count(plain["version"]),
            fields.hex64(plain["sha256"]),
            fields.count(plain["size"]),
            fields.text(plain["format"]),
            None if plain.get("rollback_of") is None else fields.count(plain["rollback_of"]),
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """
    A canary as one key sees it: who gets ``content`` (``None``: the canary removes the key).

    All keys of a rollout carry the same fields apart from ``content``; ``keys`` names them all.
    ``state`` is ``running`` or ``paused``: promoted and aborted rollouts leave the entry.
    ``started_at`` is in milliseconds since 1970 (UTC); ``percent`` runs from 0 to 100 in steps of
    0.001.
    """

    id: str
    percent: float
    unit: str
    salt: str
    keys: tuple[str, ...]
    content: Content | None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Any, ...] = ()
    step: int = 0
    min_devices: int | None = None
    state: str = "running"
    started_at: int = 0
    by: str = ""

    def to_json(self) -> dict[str, Any]:
        """The signed form; empty optional fields are left out."""
        plain: dict[str, Any] = {
            "id": self.id,
            "percent": self.percent,
            "unit": self.unit,
            "salt": self.salt,
            "keys": list(self.keys),
            "content": None if self.content is None else self.content.to_json(),
            "state": self.state,
            "started_at": self.started_at,
            "by": self.by,
        }
        optional = {
            "allow": list(self.allow),
            "deny": list(self.deny),
            "rules": list(self.rules),
            "steps": list(self.steps),
            "step": self.step,
            "min_devices": self.min_devices,
        }
        plain.update({name: value for name, value in optional.items() if value})
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Rollout:
        """The inverse of :meth:`to_json`."""
        content = plain["content"]
        return cls(
            id=fields.text(plain["id"]),
            percent=fields.number(plain["percent"]),
            unit=fields.text(plain["unit"]),
            salt=fields.text(plain["salt"]),
            keys=tuple(fields.text(key) for key in plain["keys"]),
            content=None if content is None else Content.from_json(content),
            allow=tuple(fields.text(unit) for unit in plain.get("allow", ())),
            deny=tuple(fields.text(unit) for unit in plain.get("deny", ())),
            rules=tuple(plain.get("rules", ())),
            steps=tuple(plain.get("steps", ())),
            step=fields.count(plain.get("step", 0)),
            min_devices=plain.get("min_devices"),
            state=fields.text(plain["state"]),
            started_at=fields.count(plain["started_at"]),
            by=fields.text(plain["by"]),
        )


@dataclass(frozen=True, slots=True)
class Op:
    """
    What a change makes of one key: its whole new entry.

    ``op`` says what was meant (``set``, ``del``, ``rollout``), for people; the other fields decide.
    ``content`` is what stable units get, ``None`` when they get nothing (never set, or removed).
    """

    key: str
    op: str
    latest: int
    content: Content | None
    rollout: Rollout | None = None

    @property
    def contents(self) -> tuple[Content, ...]:
        """Every content the entry may serve."""
        return served_contents(self.content, self.rollout)

    def to_json(self) -> dict[str, Any]:
        """The signed form."""
        return {
            "key": self.key,
            "op": self.op,
            "latest": self.latest,
            "content": None if self.content is None else self.content.to_json(),
            "rollout": None if self.rollout is None else self.rollout.to_json(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Op:
        """The inverse of :meth:`to_json`."""
        content, rollout = plain["content"], plain["rollout"]
        key = fields.text(plain["key"])
        if not (KEY.match(key) or RESERVED_KEY.match(key)):
            raise ValueError(f"{key!r} is not a key")
        return cls(
            key,
            fields.one_of(plain["op"], ("set", "del", "rollout")),
            fields.count(plain["latest"]),
            None if content is None else Content.from_json(content),
            None if rollout is None else Rollout.from_json(rollout),
        )


def served_contents(content: Content | None, rollout: Rollout | None) -> tuple[Content, ...]:
    """The stable content and the canary's, as far as there are any."""
    canary = None if rollout is None else rollout.content
    return tuple(each for each in (content, canary) if each is not None)
