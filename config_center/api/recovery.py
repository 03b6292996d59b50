"""After lost history: what people look at and decide."""

from __future__ import annotations

from typing import Literal

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import BYTES, COMMENT, JSON, PAGE, URGENT, Route
from config_center.problems import invalid

_NS = "/v1/namespaces/{ns}"


class DecisionBody(Body):
    """
    ``replay``: a new revision under the same id; ``drop``: it can never come back. ``comment``:
    why, written before the one that was lost.
    """

    decision: Literal["replay", "drop"]
    comment: str = Field("", max_length=1000)


class RestoreBody(Body):
    """``journal``: what this center knows; ``accept_loss``: go on without what is gone."""

    source: Literal["journal"] | None = Field(None, alias="from")
    accept_loss: bool = False
    comment: str = Field("", max_length=1000)


async def list_orphans(call: Call) -> web.Response:
    """Changes that were acknowledged and that the store lost."""
    return call.page(await call.service.recovery.orphans(call.ns), "id")


async def decide_orphan(call: Call) -> web.Response:
    """Bring one back, or drop it."""
    body = await call.body(DecisionBody)
    ident = call.path("id")
    done = await call.service.recovery.decide(
        call.ns, ident, body.decision, call.actor, body.comment, call.flag("urgent")
    )
    return answer(done)


async def restore_namespace(call: Call) -> web.Response:
    """Put a namespace back into a store that lost it, or accept that something is lost."""
    recovery = call.service.recovery
    if call.request.content_type == BYTES:
        comment = call.comment()  # before the long body, which it may refuse
        frame = await call.large(2 * call.settings.limits.namespace_bytes)
        return answer(await recovery.restore(call.ns, frame, call.actor, comment))
    if call.query("comment") is not None:
        raise invalid("beside JSON, comment is the body's field comment", parameter="comment")
    body = await call.body(RestoreBody)
    if body.accept_loss == (body.source == "journal"):
        raise invalid(
            'send {"from": "journal"}, or {"accept_loss": true}, or the bytes of an export or of a '
            "client's snapshot as application/octet-stream"
        )
    if body.accept_loss:
        return answer(await recovery.accept_loss(call.ns, call.actor, body.comment))
    return answer(await recovery.restore(call.ns, None, call.actor, body.comment))


ROUTES = (
    Route("GET", _NS + "/orphans", "read", "What the store lost", list_orphans, parameters=PAGE),
    Route("POST", _NS + "/orphans/{id}", "admin", "Decide about it", decide_orphan, DecisionBody,
          (URGENT,)),
    Route("POST", _NS + "/restore", "admin", "Put a namespace back", restore_namespace,
          RestoreBody, (COMMENT,), bodies=(JSON, BYTES)),
)  # fmt: skip
