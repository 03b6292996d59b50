"""Changes of several keys at once, what became of one, and rollouts."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from config_center.access import require_keys
from config_center.api.context import Body, Call, answer
from config_center.api.keys import RolloutBody
from config_center.api.route import AT_LEAST, IDEMPOTENCY, PAGE, SUPERSEDE, URGENT, Route

_NS = "/v1/namespaces/{ns}"


class ChangeBody(Body):
    """Operations ``{"op": "put"|"delete", "key", "value"?, "format"?, "if_version"?}``."""

    operations: list[dict[str, Any]] = Field(min_length=1)
    comment: str = Field("", max_length=1000)
    rollout: RolloutBody | None = None


class StartBody(ChangeBody):
    """A change that goes to a share first; one for everybody is a change."""

    rollout: RolloutBody


class MoveBody(Body):
    """How far is said with ``step``; every other move is of the whole rollout."""

    comment: str = Field("", max_length=1000)


class StepBody(MoveBody):
    """The new percent (none: the next of the steps); smaller needs ``force``."""

    percent: float | None = Field(None, ge=0, le=100)
    force: bool = False


async def publish_change(call: Call) -> web.Response:
    """Several operations as one revision, with one rollout for all of them."""
    body = await call.body(ChangeBody)
    return await _change(call, body)


async def start_rollout(call: Call) -> web.Response:
    """The same, for whoever thinks in rollouts."""
    return await _change(call, await call.body(StartBody))


async def get_change(call: Call) -> web.Response:
    """What became of a change, by its id or your own Idempotency-Key."""
    return answer(await call.service.change_state(call.ns, call.change(), call.actor))


async def cancel_change(call: Call) -> web.Response:
    """The only final "no": the id will never take effect."""
    return answer(await call.service.cancel_change(call.ns, call.change(), call.actor))


async def list_rollouts(call: Call) -> web.Response:
    """Rollouts, running ones first."""
    limit = call.number("limit", 100, 1, 1000)
    reach = call.actor.reach
    return answer(call.service.rollouts.listed(call.ns, limit, call.query("after"), reach))


async def get_rollout(call: Call) -> web.Response:
    """One rollout, by id or by a key it runs on."""
    return answer(_reached(call))


async def move_rollout(call: Call) -> web.Response:
    """Step, pause, resume, promote or abort."""
    verb = call.route.path.rpartition("/")[2]
    body = (await call.body(_MOVES[verb])).model_dump(exclude_none=True)
    if not call.actor.reach.whole(call.ns):
        _reached(call)
    done = await call.service.rollouts.move(
        call.ns,
        call.path("id"),
        verb,
        body,
        call.actor,
        call.idempotency_key(),
        call.flag("urgent"),
    )
    return answer(done.body, etag=done.etag)


_MOVES: dict[str, type[MoveBody]] = {
    "step": StepBody,
    "pause": MoveBody,
    "resume": MoveBody,
    "promote": MoveBody,
    "abort": MoveBody,
}


def _reached(call: Call) -> dict[str, Any]:
    """The rollout that is asked for. Raises Problem 404, and 403 when any key of it is beyond."""
    found = call.service.rollouts.one(call.ns, call.path("id"))
    require_keys(call.actor, call.ns, [row["key"] for row in found["keys"]])
    return found


async def _change(call: Call, body: ChangeBody) -> web.Response:
    named = [each.get("key") for each in body.operations]
    require_keys(call.actor, call.ns, [key for key in named if isinstance(key, str)])
    done = await call.service.change(
        call.ns,
        body.operations,
        comment=body.comment,
        rollout=None if body.rollout is None else body.rollout.model_dump(exclude_none=True),
        idempotency_key=call.idempotency_key(),
        supersede=call.flag("supersede"),
        actor=call.actor,
        urgent=call.flag("urgent"),
    )
    return answer(done.body, etag=done.etag)


ROUTES = (
    Route("POST", _NS + "/changes", "publish", "Publish several keys", publish_change, ChangeBody,
          (IDEMPOTENCY, SUPERSEDE, URGENT), about="part"),
    Route("GET", _NS + "/changes/{id}", "read", "What became of a change", get_change,
          about="part"),
    Route("DELETE", _NS + "/changes/{id}", "publish", "Cancel a change for good", cancel_change,
          about="part"),
    Route("GET", _NS + "/rollouts", "read", "List rollouts", list_rollouts,
          parameters=(*PAGE, AT_LEAST), about="part"),
    # Its content is new, so it takes a publisher; an operator moves what another has published.
    Route("POST", _NS + "/rollouts", "publish", "Start a rollout", start_rollout, StartBody,
          (IDEMPOTENCY, SUPERSEDE, URGENT), about="part"),
    Route("GET", _NS + "/rollouts/{id}", "read", "One rollout", get_rollout,
          parameters=(AT_LEAST,), about="part"),
    *(Route("POST", _NS + "/rollouts/{id}/" + verb, "operate", f"{verb.capitalize()} a rollout",
            move_rollout, body, (IDEMPOTENCY, URGENT), about="part")
      for verb, body in _MOVES.items()),
)  # fmt: skip
