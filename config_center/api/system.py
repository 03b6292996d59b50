"""Kinds, tokens, health, metrics and documentation."""

from __future__ import annotations

from importlib import resources

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import PAGE, Route


class TokenBody(Body):
    """``instance`` is required for the role ``instance``: the only name it may speak for."""

    name: str = Field(min_length=1, max_length=100)
    role: str
    instance: str | None = Field(None, min_length=1, max_length=100)
    namespaces: list[str] = Field(default_factory=list, max_length=100)


async def list_kinds(call: Call) -> web.Response:
    """Module kinds with their JSON Schema."""
    return call.page(call.service.kinds(), "kind")


async def whoami(call: Call) -> web.Response:
    """Whose token this is, and what it may do."""
    actor = call.actor
    plain = {
        "name": actor.name,
        "role": actor.role,
        "instance": actor.instance,
        "namespaces": list(actor.namespaces),
    }
    return answer(plain)


async def list_tokens(call: Call) -> web.Response:
    """Tokens by name and role; never the tokens themselves."""
    return call.page(call.service.tokens.listed(), "id")


async def create_token(call: Call) -> web.Response:
    """A new token; it is shown this once."""
    body = await call.body(TokenBody)
    plain = body.model_dump(exclude_none=True)
    return answer(await call.service.tokens.create(plain, call.actor), 201)


async def revoke_token(call: Call) -> web.Response:
    """End a token."""
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
    Route("GET", "/v1/kinds", "read", "Module kinds", list_kinds, parameters=PAGE),
    Route("GET", "/v1/whoami", "read", "Who am I", whoami),
    Route("GET", "/v1/tokens", "admin", "List tokens", list_tokens, parameters=PAGE),
    Route("POST", "/v1/tokens", "admin", "Make a token", create_token, TokenBody, status=201),
    Route("DELETE", "/v1/tokens/{id}", "admin", "Revoke a token", revoke_token),
    Route("GET", "/healthz", "public", "Alive", healthz, answers="text/plain"),
    Route("GET", "/readyz", "public", "Ready", readyz),
    Route("GET", "/docs", "public", "This documentation", docs, answers="text/html"),
)
