"""The rollouts of a center, asked for and moved by people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config_center import reading
from config_center.changes import Wish
from config_center.problems import not_found
from config_center.rollouts.plan import Move
from config_center.scopes import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from config_center.access import Actor
    from config_center.changes import Answer, Changes
    from config_center.scopes import Reach
    from config_center.space import Space


class Rollouts:
    """The part of the service that is about rollouts; ``space`` raises Problem 404."""

    def __init__(self, space: Callable[[str], Space], changes: Changes) -> None:
        self._space = space
        self._changes = changes

    def listed(
        self, ns: str, limit: int, after: str | None, reach: Reach = EVERYTHING
    ) -> dict[str, Any]:
        """Rollouts all of whose keys are within the reach, running ones first."""
        space = self._space(ns)
        stories = space.past.book.stories()
        seen = [s for s in stories if all(reach.holds(ns, key) for key in s.keys)]
        rows = [space.story_words(story) for story in seen]
        return reading.page(rows, "id", limit, after)

    def one(self, ns: str, which: str) -> dict[str, Any]:
        """One rollout, by id or by a key. Raises Problem 404."""
        space = self._space(ns)
        story = space.past.book.find(which)
        if story is None:
            raise not_found(f"there is no rollout {which[:128]!r}; GET .../rollouts lists them")
        return space.story_words(story)

    async def move(
        self,
        ns: str,
        which: str,
        verb: str,
        body: dict[str, Any],
        actor: Actor,
        idempotency_key: str | None = None,
        urgent: bool = False,
    ) -> Answer:
        """
        Step, pause, resume, promote or abort. Raises Problem 404, 409.

        A retry under the same key moves nothing: it answers the rollout that was moved, as it is.
        """
        asked = {"rollout": which, **body}
        wish = Wish(actor, verb, asked, body.get("comment", ""), idempotency_key, urgent)
        move = Move(verb, body.get("percent"), bool(body.get("force")))
        return await self._changes.move(self._space(ns), which, move, wish)
