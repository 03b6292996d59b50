"""Signing keys: the list that everybody may have, and what an admin does to it."""

from __future__ import annotations

import time
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import Parameter, Route
from config_center.problems import invalid

_KID = r"^[0-9a-f]{16}$"
_KID_IS = "16 digits of 0-9 and a-f, as GET /v1/trust/keys lists them"
_DAY_MS = 24 * 3600 * 1000


class RotateBody(Body):
    """``days``: how long the new key counts at most; ``keep``: the old one stays trusted."""

    days: int | None = Field(None, ge=1, le=36_500)
    keep: bool = False


class KeyBody(Body):
    """The key that is meant."""

    kid: str = Field(pattern=_KID, description=_KID_IS)


class RequestBody(RotateBody):
    """What the root shall sign; ``kid`` for `retire` and `revoke`."""

    what: Literal["rotate", "retire", "revoke"]
    kid: str | None = Field(None, pattern=_KID, description=_KID_IS)


class InstallBody(Body):
    """Documents as ``GET /v1/trust`` answers one, each with a higher number."""

    lists: list[dict[str, Any]] = Field(min_length=1, max_length=10)


async def get_trust(call: Call) -> web.Response:
    """The root-signed list of signing keys; no secret."""
    body = call.service.registry.lists.newest.encode()
    return web.Response(body=body, content_type="application/json")


async def get_signing_keys(call: Call) -> web.Response:
    """Every signing key, what it is, and what the center waits for."""
    return answer(await call.service.rotation.words())


async def install_trust(call: Call) -> web.Response:
    """Take lists that the root signed elsewhere."""
    body = await call.body(InstallBody)
    return answer(await call.service.rotation.install(body.lists))


async def rotate_key(call: Call) -> web.Response:
    """Replace the key that this center signs with."""
    body = await call.body(RotateBody)
    return answer(await call.service.rotation.do("rotate", days=body.days, keep=body.keep))


async def retire_key(call: Call) -> web.Response:
    """Refuse a key that no center signs with any more."""
    body = await call.body(KeyBody)
    return answer(await call.service.rotation.do("retire", body.kid))


async def revoke_key(call: Call) -> web.Response:
    """Refuse a stolen key at once."""
    body = await call.body(KeyBody)
    return answer(await call.service.rotation.do("revoke", body.kid))


async def request_trust(call: Call) -> web.Response:
    """What the root has to sign, for a root that is kept offline."""
    body = await call.body(RequestBody)
    if body.what != "rotate" and body.kid is None:
        raise invalid(f"say which key to {body.what}", parameter="kid")
    made = await call.service.rotation.request(body.what, body.kid, days=body.days, keep=body.keep)
    return web.Response(body=made.encode(), content_type="application/json")


async def list_signed(call: Call) -> web.Response:
    """What a key has signed since then, as far as this center's journal goes back."""
    days = call.query("days") or "90"
    if not days.isascii() or not days.isdigit() or len(days) > 5:
        raise invalid("a number of days, 0 to 99999", parameter="days")
    since = time.time_ns() // 1_000_000 - int(days) * _DAY_MS
    return answer({"items": await call.service.rotation.signed_by(call.path("id"), since)})


ROUTES = (
    Route("GET", "/v1/trust", "public", "Signing keys", get_trust),
    Route("POST", "/v1/trust", "admin", "Install signed lists", install_trust, InstallBody),
    Route("GET", "/v1/trust/keys", "admin", "State of the signing keys", get_signing_keys),
    Route("GET", "/v1/trust/keys/{id}/records", "admin", "What a key signed", list_signed,
          parameters=(Parameter("days", "how far back, 90 by default", "integer"),)),
    Route("POST", "/v1/trust/rotate", "admin", "Replace the signing key", rotate_key, RotateBody),
    Route("POST", "/v1/trust/retire", "admin", "Refuse an unused key", retire_key, KeyBody),
    Route("POST", "/v1/trust/revoke", "admin", "Refuse a stolen key", revoke_key, KeyBody),
    Route("POST", "/v1/trust/request", "admin", "What the root has to sign", request_trust,
          RequestBody),
)  # fmt: skip
