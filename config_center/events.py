"""
What a committed record did, in the words of whoever reads along. Pure.

What a namespace is told beside its values lies under reserved keys (``_policy``, ``_schema.KEY``,
``_shredded.DATA-KEY``), and a draft that is refused leaves a tombstone without any key: names that
help nobody who did not write this program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.data_keys import SHREDDED
from config_center.review.policy import POLICY, RULES, Policy
from config_center.review.stored import author_of
from config_center.schemas import PREFIX as SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.contents import Op
    from client_sdk.records import Record
    from client_sdk.state import NamespaceState

_KNOWN = 1000  # authors of drafts that are remembered
_BARE = {
    "create": "namespace made",
    "end": "namespace ended",
    "adopt": "the store's history taken as it is",
    "restore": "history restored",
}


class Events:
    """
    The words for one record after the other. ``policy`` is the namespace's before the first of
    them, None where that is not known; ``author_of`` says who wrote the draft of an id, None where
    it is no draft's.
    """

    def __init__(self, policy: Policy | None, author_of: Callable[[str], str | None]) -> None:
        self._policy = policy
        self._author_of = author_of

    def words(self, record: Record) -> str:
        """One line: where, who, what, and why if somebody said so."""
        header, what = record.header, self.what(record)
        if header.comment and header.comment not in what:  # that of a freeze is its reason
            what += f"  {header.comment}"
        return f"{record.position}  {header.author}  {what}"

    def what(self, record: Record) -> str:
        """What it did, and who agreed."""
        header = record.header
        parts = [self._op(op, record) for op in header.ops] or [self._bare(record)]
        if header.approved_by:
            parts.append(f"approved by {header.approved_by}")
        return ", ".join(dict.fromkeys(parts))  # what shares a data key is destroyed together

    def _op(self, op: Op, record: Record) -> str:
        body = None if op.content is None else record.bodies.get(op.content.sha256)
        told = _TOLD.get(op.key.partition(".")[0])
        if told is None or body is None:
            return f"{op.key} ({op.op})"
        if op.key == POLICY and op.latest == 1 and self._policy is None:
            self._policy = Policy()  # there was none before
        return told(self, op.key, orjson.loads(body))

    def _policy_words(self, _: str, plain: dict[str, Any]) -> str:
        before, after = self._policy, Policy.from_json(plain)
        self._policy = after
        if before is None:
            return f"rules and freeze set: {_as_it_stands(after)}"
        rules = [
            f"rule {name} {'on' if getattr(after, name) else 'off'}"
            for name in RULES
            if getattr(before, name) != getattr(after, name)
        ]
        return ", ".join([*_freeze_words(before, after), *rules]) or "rules as before"

    def _schema_words(self, key: str, plain: dict[str, Any]) -> str:
        return f"{key.removeprefix(SCHEMA)} bound to {plain.get('kind') or 'a JSON Schema'}"

    def _shredded_words(self, _: str, plain: dict[str, Any]) -> str:
        if "lost" in plain:
            return f"secrets lost with the key-encryption key {plain['lost']}"
        return f"secrets of {plain['key']} version {plain['version']} destroyed"

    def _bare(self, record: Record) -> str:
        header = record.header
        if header.type != "cancel":
            return _BARE.get(header.type, "nothing changed")
        author = self._author_of(header.id)
        if author is None:
            return f"change {header.id} cancelled"
        if author.casefold() == header.author.casefold():
            return f"draft {header.id} withdrawn"
        return f"draft {header.id} of {author} rejected"


def _as_it_stands(policy: Policy) -> str:
    """All of it, where what was there before is not known: no word says that it changed."""
    rules = [f"rule {name} on" for name in RULES if getattr(policy, name)]
    freeze = "nothing is frozen" if policy.frozen is None else f"frozen: {policy.frozen.reason}"
    return ", ".join([freeze, *rules])


def _freeze_words(before: Policy, after: Policy) -> list[str]:
    if after.frozen == before.frozen:
        return []
    return ["freeze lifted" if after.frozen is None else f"frozen: {after.frozen.reason}"]


class Authors:
    """
    Who wrote the draft of an id, which may be any change's. A thousand streams tell the same
    record, so each id is looked up once as long as ``system``, the state of ``_system`` where
    drafts lie, stays what it is.
    """

    def __init__(self, system: Callable[[], NamespaceState]) -> None:
        self._system = system
        self._chain = b""
        self._known: dict[tuple[str, str], str | None] = {}

    def of(self, ns: str, ident: str) -> str | None:
        """The name of its author, None where it is no draft's."""
        system, asked = self._system(), (ns, ident)
        if system.c != self._chain or len(self._known) >= _KNOWN:
            self._chain, self._known = system.c, {}
        if asked not in self._known:
            self._known[asked] = author_of(system, ns, ident)
        return self._known[asked]


_TOLD = {
    POLICY: Events._policy_words,
    SCHEMA.rstrip("."): Events._schema_words,
    SHREDDED.rstrip("."): Events._shredded_words,
}
