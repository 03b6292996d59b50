"""Policies, the freeze, and drafts that a second person approves."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from config_center.api.changes import ChangeBody
from config_center.api.context import Body, Call, answer
from config_center.api.route import AT_LEAST, IDEMPOTENCY, PAGE, SUPERSEDE, URGENT, Route

_NS = "/v1/namespaces/{ns}"
_DRAFT = _NS + "/drafts/{id}"


class PolicyBody(Body):
    """The rules to set; one that is not named stays as it is."""

    two_person: bool | None = None
    staged: bool | None = None
    precondition: bool | None = None
    comment: str = Field("", max_length=1000)


class FreezeBody(Body):
    """Why; whoever is stopped reads it, and so does whoever reads anything of the namespace."""

    reason: str = Field(min_length=1, max_length=500)


class CommentBody(Body):
    """Why."""

    comment: str = Field("", max_length=1000)


class DraftBody(ChangeBody):
    """
    A change as for ``changes``; or ``schema`` for ``key``; or ``policy``. ``replaces``: a draft of
    one's own that is withdrawn for this one.
    """

    operations: list[dict[str, Any]] | None = Field(None, min_length=1)  # type: ignore[assignment]
    key: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    policy: dict[str, bool] | None = None
    replaces: str | None = Field(None, min_length=1, max_length=64)


class ApprovalBody(Body):
    """``content`` is that of the draft as it was looked at: the hash of all that is in it."""

    content: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="64 digits of 0-9 and a-f, as GET .../drafts/ID answers it",
    )


async def get_policy(call: Call) -> web.Response:
    """
    The rules of a namespace, and whether it or the whole center is frozen: all of it holds for
    every key, so it is told to whoever reaches some. It names none.
    """
    return answer(call.service.policies.show(call.ns))


async def put_policy(call: Call) -> web.Response:
    """Set rules; taking one away needs two persons where the two-person rule holds."""
    rules = (await call.body(PolicyBody)).model_dump(exclude_none=True)
    comment = rules.pop("comment")
    done = await call.service.policies.set_rules(
        call.ns, rules, call.actor, comment, call.idempotency_key(), call.flag("urgent")
    )
    return answer(done)


async def freeze_namespace(call: Call) -> web.Response:
    """Stop publishing here; rollback and abort still work."""
    body = await call.body(FreezeBody)
    key = call.idempotency_key()
    return answer(await call.service.policies.freeze(call.ns, body.reason, call.actor, key))


async def unfreeze_namespace(call: Call) -> web.Response:
    """Let publishing go on."""
    body = await call.body(CommentBody)
    key, policies = call.idempotency_key(), call.service.policies
    lifted = policies.show(call.ns)["frozen"]
    done = await policies.unfreeze(call.ns, body.comment, call.actor, key)
    return answer({**done, "lifted": lifted})


async def get_freeze(call: Call) -> web.Response:
    """Whether the whole center is frozen, and which namespaces are by themselves."""
    return answer(_center_words(call))


async def freeze_center(call: Call) -> web.Response:
    """Stop publishing in every namespace."""
    body = await call.body(FreezeBody)
    return answer(await call.service.policies.freeze_center(body.reason, call.actor))


async def unfreeze_center(call: Call) -> web.Response:
    """Let publishing go on, but where a namespace was frozen by itself."""
    body = await call.body(CommentBody)
    lifted = call.service.policies.center()["frozen"]
    await call.service.policies.unfreeze_center(body.comment, call.actor)
    return answer({**_center_words(call), "lifted": lifted})


def _center_words(call: Call) -> dict[str, Any]:
    """The freeze of the whole center, and those of namespaces, which outlast it."""
    own = [
        {"namespace": ns, **freeze.words()}
        for ns, freeze in sorted(call.service.policies.freezes().items())
        if not ns.startswith("_")
    ]
    return {**call.service.policies.center(), "namespaces": own}


async def list_drafts(call: Call) -> web.Response:
    """Drafts of keys that the token reaches, the newest first."""
    return call.page(await call.service.drafts.listed(call.ns, call.actor), "id")


async def create_draft(call: Call) -> web.Response:
    """Keep a change for somebody else to approve; nothing is published."""
    body = await call.body(DraftBody)
    asked = body.model_dump(exclude_none=True, by_alias=True)
    asked["supersede"] = call.flag("supersede")
    key = call.idempotency_key()
    return answer(await call.service.drafts.create(call.ns, asked, call.actor, key), 201)


async def get_draft(call: Call) -> web.Response:
    """One draft with what it would change; secrets are masked."""
    return answer(await call.service.drafts.get(call.ns, call.path("id"), call.actor))


async def approve_draft(call: Call) -> web.Response:
    """Publish what somebody else wrote; asked again, it answers the same."""
    body = await call.body(ApprovalBody)
    ident, actor = call.path("id"), call.actor
    return answer(await call.service.drafts.approve(call.ns, ident, body.content, actor))


async def reject_draft(call: Call) -> web.Response:
    """Make sure that a draft is never published."""
    body = await call.body(CommentBody)
    ident, actor = call.path("id"), call.actor
    return answer(await call.service.drafts.reject(call.ns, ident, actor, body.comment))


async def withdraw_draft(call: Call) -> web.Response:
    """Take one's own draft back."""
    body = await call.body(CommentBody)
    ident, actor = call.path("id"), call.actor
    return answer(await call.service.drafts.withdraw(call.ns, ident, actor, body.comment))


ROUTES = (
    Route("GET", _NS + "/policy", "read", "Rules of a namespace", get_policy,
          parameters=(AT_LEAST,), about="part"),
    Route("PUT", _NS + "/policy", "admin", "Set rules", put_policy, PolicyBody,
          (IDEMPOTENCY, URGENT)),
    Route("POST", _NS + "/freeze", "operate", "Stop publishing", freeze_namespace, FreezeBody,
          (IDEMPOTENCY,)),
    Route("POST", _NS + "/unfreeze", "admin", "Publish again", unfreeze_namespace, CommentBody,
          (IDEMPOTENCY,)),
    Route("GET", "/v1/freeze", "read", "Is the center frozen", get_freeze),
    Route("POST", "/v1/freeze", "admin", "Stop publishing everywhere", freeze_center, FreezeBody),
    Route("POST", "/v1/unfreeze", "admin", "Publish again", unfreeze_center, CommentBody),
    Route("GET", _NS + "/drafts", "review", "List drafts", list_drafts, parameters=PAGE,
          about="part"),
    Route("POST", _NS + "/drafts", "publish", "Make a draft", create_draft, DraftBody,
          (IDEMPOTENCY, SUPERSEDE), status=201, about="part"),
    Route("GET", _DRAFT, "review", "One draft, and what it would change", get_draft,
          about="part"),
    Route("POST", _DRAFT + "/approve", "approve", "Publish a draft", approve_draft, ApprovalBody,
          (IDEMPOTENCY,), about="part"),
    Route("POST", _DRAFT + "/reject", "approve", "Refuse a draft", reject_draft, CommentBody,
          (IDEMPOTENCY,), about="part"),
    Route("POST", _DRAFT + "/withdraw", "publish", "Take a draft back", withdraw_draft,
          CommentBody, (IDEMPOTENCY,), about="part"),
)  # fmt: skip
