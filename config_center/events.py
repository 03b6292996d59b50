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
from config_center.schemas import PREFIX as SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.contents import Op
    from client_sdk.records import Record

_BARE = {
    "create": "namespace made",
    "end": "namespace ended",
    "adopt": "the store's history taken as it is",
    "restore": "history restored",
}


class Events:
    """
    The words for one record after the other. ``policy`` is the namespace's before the first of
    them; ``author_of`` says who wrote the draft of an id, None where it is no draft's.
    """

    def __init__(self, policy: Policy, author_of: Callable[[str], str | None]) -> None:
        self._policy = policy
        self._author_of = author_of

    def words(self, record: Record) -> str:
        """One line: where, who, what, and why if somebody said so."""
        header = record.header
        parts = [self._op(op, record) for op in header.ops] or [self._bare(record)]
        what = ", ".join(dict.fromkeys(parts))  # versions that share a secret lose it together
        if header.approved_by:
            what += f", approved by {header.approved_by}"
        if header.comment and header.comment not in what:  # that of a freeze is its reason
            what += f"  {header.comment}"
        return f"{record.position}  {header.author}  {what}"

    def _op(self, op: Op, record: Record) -> str:
        body = None if op.content is None else record.bodies.get(op.content.sha256)
        told = _TOLD.get(op.key.partition(".")[0])
        if told is None or body is None:
            return f"{op.key} ({op.op})"
        return told(self, op.key, orjson.loads(body))

    def _policy_words(self, _: str, plain: dict[str, Any]) -> str:
        before, after = self._policy, Policy.from_json(plain)
        self._policy = after
        parts = []
        if after.frozen is not None and after.frozen != before.frozen:
            parts.append(f"frozen: {after.frozen.reason}")
        elif after.frozen is None and before.frozen is not None:
            parts.append("freeze lifted")
        elif after == before:
            parts.append("nothing was frozen" if after.frozen is None else "rules as before")
        for name in RULES:
            if getattr(before, name) != getattr(after, name):
                parts.append(f"rule {name} {'on' if getattr(after, name) else 'off'}")
        return ", ".join(parts)

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


_TOLD = {
    POLICY: Events._policy_words,
    SCHEMA.rstrip("."): Events._schema_words,
    SHREDDED.rstrip("."): Events._shredded_words,
}
