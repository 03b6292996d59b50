"""
Whether whoever wrote a draft could still publish it. Pure; pass ``now`` in milliseconds since 1970.

A draft waits for up to a week, and is published with its author's right to publish. So that right
is asked for again when it is approved, on the state of ``_system`` at that moment: what a stolen
token left behind must not outlive the token. A draft bears the token that wrote it, and:

* **Revoked** ends every draft of that token, whatever other token bears the name. Why a token was
  revoked is written nowhere; if it was stolen, nobody can tell the thief's drafts from the owner's.
  The owner makes his own again with the new token, and loses a minute.
* **Expired** is no suspicion. Then another token of the very same name may stand in that is open,
  and may and reaches what the draft needs: whoever renews a token in time loses nothing. Without
  one the draft ends.
* **A login** (OpenID) is a token of some hours; its end is the end of a session, and not of a
  right. The name alone counts then, for as long as a draft lasts: else what was written on Friday
  could not be approved on Monday. Revoking that token, which is listed until then, ends it.
* Role and reach are those of the token that carries the draft. What is planned is held to that
  reach as well, for a rollout that is superseded may have grown beyond it.

A draft without a token was made inside the center's own process; there is nobody to ask about.

Rejected: asking for any good token of the name even after a revocation (the thief's draft waits for
the victim's new token); ending drafts when a token ends (one more write that can fail or be late,
where a look at the state that is there cannot).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.access import Actor, expired, holder, holders
from config_center.problems import Problem
from config_center.review.stored import CHANGE, NEEDS

if TYPE_CHECKING:
    from client_sdk.state import NamespaceState
    from config_center.review.stored import StoredDraft

GONE = "author-gone"


def author_of(system: NamespaceState, draft: StoredDraft, now: int) -> Actor | None:
    """Whoever wrote it, with the reach of his token; None when he could publish it no more."""
    if not draft.author_id:
        return Actor(draft.author, "")
    found = holder(system, draft.author_id)
    if found is None:
        return None
    own, logged_in = found
    if logged_in or not expired(own.expires_at, now):
        return own if _could(own, draft) else None
    same = (other for other in holders(system, now) if other.name == draft.author)
    return next((other for other in same if _could(other, draft)), None)


def require_author(system: NamespaceState, draft: StoredDraft, now: int) -> Actor:
    """The same. Raises Problem 409 ``draft-ended``, which says what to do."""
    found = author_of(system, draft, now)
    if found is None:
        raise Problem(
            "draft-ended",
            f"the token with which {draft.author} wrote this was revoked or has expired, or may "
            "not publish it any more: reject it; whoever may publish it makes it again, and "
            "somebody else approves that",
            state=GONE,
            author=draft.author,
        )
    return found


def _could(actor: Actor, draft: StoredDraft) -> bool:
    if not actor.may(NEEDS[draft.kind]):
        return False
    if draft.kind != CHANGE:
        return actor.reach.whole(draft.ns)
    return all(actor.reach.holds(draft.ns, part.key) for part in draft.parts)
