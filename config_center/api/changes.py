"""Changes of several keys at once, what became of one, and rollouts."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.keys import RolloutBody
from config_center.api.route import IDEMPOTENCY, PAGE, SUPERSEDE, Route

_NS = "/v1/namespaces/{ns}"
_VERBS = ("step", "pause", "resume", "promote", "abort")


class ChangeBody(Body):
    """Operations ``{"op": "put"|"delete", "key", "value"?, "format"?, "if_version"?}``."""

    operations: list[dict[str, Any]] = Field(min_length=1)
    comment: str = Field("", max_length=1000)
    rollout: RolloutBody | None = None


class MoveBody(Body):
    """For ``step``: the new percent (none: the next of the steps); smaller needs ``force``."""

    percent: float | None = Field(None, ge=0, le=100)
    force: bool = False
    comment: str = Field("", max_length=1000)


async def publish_change(call: Call) -> web.Response:
    """Several operations as one revision, with one rollout for all of them."""
    body = await call.body(ChangeBody)
    return await _change(call, body)


async def start_rollout(call: Call) -> web.Response:
    """The same, for whoever thinks in rollouts."""
    return await _change(call, await call.body(ChangeBody))


async def get_change(call: Call) -> web.Response:
    """What became of a change, by its id or your own Idempotency-Key."""
    return answer(await call.service.change_state(call.ns, call.path("id"), call.actor))


async def cancel_change(call: Call) -> web.Response:
    """The only final "no": the id will never take effect."""
    return answer(await call.service.cancel_change(call.ns, call.path("id"), call.actor))


async def list_rollouts(call: Call) -> web.Response:
    """Rollouts, running ones first."""
    limit = call.number("limit", 100, 1, 1000)
    return answer(call.service.rollouts(call.ns, limit, call.query("after")))


async def get_rollout(call: Call) -> web.Response:
    """One rollout, by id or by a key it runs on."""
    return answer(call.service.rollout(call.ns, call.path("id")))


async def move_rollout(call: Call) -> web.Response:
    """Step, pause, resume, promote or abort."""
    body = (await call.body(MoveBody)).model_dump(exclude_none=True)
    verb = call.request.path.rpartition("/")[2]
    done = await call.service.move_rollout(call.ns, call.path("id"), verb, body, call.actor)
    return answer(done.body, etag=done.etag)


async def _change(call: Call, body: ChangeBody) -> web.Response:
    done = await call.service.change(
        call.ns,
        body.operations,
        comment=body.comment,
        rollout=None if body.rollout is None else body.rollout.model_dump(exclude_none=True),
        idempotency_key=call.idempotency_key(),
        supersede=call.flag("supersede"),
        actor=call.actor,
    )
    return answer(done.body, etag=done.etag)


ROUTES = (
    Route("POST", _NS + "/changes", "write", "Publish several keys", publish_change, ChangeBody,
          (IDEMPOTENCY, SUPERSEDE)),
    Route("GET", _NS + "/changes/{id}", "read", "What became of a change", get_change),
    Route("DELETE", _NS + "/changes/{id}", "write", "Cancel a change for good", cancel_change),
    Route("GET", _NS + "/rollouts", "read", "List rollouts", list_rollouts, parameters=PAGE),
    Route("POST", _NS + "/rollouts", "write", "Start a rollout", start_rollout, ChangeBody,
          (IDEMPOTENCY, SUPERSEDE)),
    Route("GET", _NS + "/rollouts/{id}", "read", "One rollout", get_rollout),
    *(Route("POST", _NS + "/rollouts/{id}/" + verb, "write", f"{verb.capitalize()} a rollout",
            move_rollout, MoveBody) for verb in _VERBS),
)  # fmt: skip
