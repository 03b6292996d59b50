"""What a draft would change of what is served now, secrets masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from client_sdk.bodies import decode_body
from client_sdk.difference import difference
from config_center import reading
from config_center.review import stored
from config_center.review.policy import changed, policy_of

if TYPE_CHECKING:
    from client_sdk.state import NamespaceState
    from config_center.review.stored import Part, StoredDraft


def changes_of(draft: StoredDraft, state: NamespaceState) -> list[dict[str, Any]]:
    """Each part with its differences; nothing of a draft that ended."""
    if draft.state != stored.WAITING:
        return []
    told = []
    for part in draft.parts:
        if draft.kind == stored.CHANGE:
            deltas = reading.proposed(state, part.key, part.content())
        else:
            deltas = [d.to_json() for d in difference(*_records(draft, part, state))]
        told.append({"key": part.key, "op": part.op, "changes": deltas})
    return told


def _records(draft: StoredDraft, part: Part, state: NamespaceState) -> tuple[Any, Any]:
    """A schema, or the rules: as they are, and as they would be."""
    if draft.kind == stored.RULES:
        before = policy_of(state)
        return before.to_json(), changed(before, dict(draft.about or {})).to_json()
    entry = state.entries.get(part.key)
    known = None if entry is None else entry.content
    return {} if known is None else decode_body(known)[0], dict(draft.about or {})
