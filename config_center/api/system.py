"""Kinds, tokens, health, metrics and documentation."""

from __future__ import annotations

from importlib import resources

from aiohttp import web
from pydantic import Field

from config_center.access import permissions_of
from config_center.api.context import Body, Call, answer
from config_center.api.route import PAGE, Route
from config_center.rollouts.book import timestamp
from config_center.tokens import LONGEST


class ScopeBody(Body):
    """Keys of one namespace: those that begin with ``prefix``; none: all of them."""

    namespace: str
    prefix: str = ""


class TokenBody(Body):
    """
    ``instance`` is required for the role ``instance``: the only name it may speak for. Without
    ``scopes`` the token is for everything; ``namespaces`` are scopes without a prefix. ``ttl`` is
    in seconds, ``expires_at`` a time as RFC 3339; without one of them it never expires.
    """

    name: str = Field(min_length=1, max_length=100)
    role: str
    instance: str | None = None
    scopes: list[ScopeBody] = Field(default_factory=list, max_length=100)
    namespaces: list[str] = Field(default_factory=list, max_length=100)
    ttl: int | None = Field(None, ge=1, le=LONGEST)
    expires_at: str | None = Field(None, max_length=40)


async def list_kinds(call: Call) -> web.Response:
    """Module kinds with their JSON Schema."""
    return call.page(call.service.kinds(), "kind")


async def whoami(call: Call) -> web.Response:
    """Whose token this is, and what it may do."""
    actor = call.actor
    plain = {
        "id": actor.token_id,
        "name": actor.name,
        "role": actor.role,
        "permissions": sorted(permissions_of(actor.role)),
        "instance": actor.instance,
        "scopes": actor.reach.to_json(),
        "expires_at": None if actor.expires_at is None else timestamp(actor.expires_at),
    }
    return answer(plain)


async def list_tokens(call: Call) -> web.Response:
    """Tokens within the reach of one's own: name, role, last use; never the tokens themselves."""
    return call.page(call.service.tokens.listed(call.actor), "id")


async def create_token(call: Call) -> web.Response:
    """A new token, of no more than one's own can do; it is shown this once."""
    body = await call.body(TokenBody)
    plain = body.model_dump(exclude_none=True)
    return answer(await call.service.tokens.create(plain, call.actor), 201)


async def revoke_token(call: Call) -> web.Response:
    """End a token within the reach of one's own."""
    return answer(await call.service.tokens.revoke(call.path("id"), call.actor))


async def healthz(call: Call) -> web.Response:
    """The process runs."""
    return web.Response(text="ok\n")


async def readyz(call: Call) -> web.Response:
    """Every namespace takes changes, or which do not and why."""
    modes = call.service.modes()
    bad = {ns: why for ns, why in modes.items() if why["mode"] != "ready"}
    return answer({"ready": not bad, "namespaces": modes}, 503 if bad else 200)


async def docs(call: Call) -> web.Response:
    """The documentation of this API, without the internet."""
    page = resources.files("config_center").joinpath("web", "docs.html").read_bytes()
    return web.Response(body=page, content_type="text/html", charset="utf-8")


ROUTES = (
    Route("GET", "/v1/kinds", "read", "Module kinds", list_kinds, parameters=PAGE, about="part"),
    Route("GET", "/v1/whoami", "read", "Who am I", whoami, about="part"),
    Route("GET", "/v1/tokens", "admin", "List tokens", list_tokens, parameters=PAGE, about="part"),
    Route("POST", "/v1/tokens", "admin", "Make a token", create_token, TokenBody, status=201,
          about="part"),
    Route("DELETE", "/v1/tokens/{id}", "admin", "Revoke a token", revoke_token, about="part"),
    Route("GET", "/healthz", "public", "Alive", healthz, answers="text/plain"),
    Route("GET", "/readyz", "public", "Ready", readyz),
    Route("GET", "/docs", "public", "This documentation", docs, answers="text/html"),
)  # fmt: skip
