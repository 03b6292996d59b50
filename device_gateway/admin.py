"""The operators' listener: health, metrics, who is here, and notices.

On loopback it is open to the machine; elsewhere all but health and metrics needs the admin token.
`POST /notices` takes JSON by its content type alone, which a web page cannot send across origins.
Nor can it come from an origin that pretends to be this machine: where no token is asked for, only
loopback's own names are answered to, so a name that was made to point here (DNS rebinding) is not.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import generate_latest

from client_sdk.settings import is_loopback
from device_gateway.door import behind_the_door
from device_gateway.notices import parse_notice

if TYPE_CHECKING:
    from device_gateway.server import Gateway

MAX_BODY_BYTES = 16 * 1024
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def admin_app(gateway: Gateway) -> web.Application:
    """The application of the admin listener."""
    app = behind_the_door(MAX_BODY_BYTES)
    app.on_response_prepare.append(_protect)
    routes = _Routes(gateway)
    app.router.add_get("/healthz", routes.health)
    app.router.add_get("/readyz", routes.ready)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_get("/sessions", routes.sessions)
    app.router.add_get("/activations", routes.activations)
    app.router.add_post("/notices", routes.notices)
    return app


class _Routes:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        ready = not self._gateway.draining
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        body = generate_latest(self._gateway.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def sessions(self, request: web.Request) -> web.Response:
        self._authorize(request)
        hub = self._gateway.hub
        document = {
            "instance": self._gateway.settings.instance,
            "known": len(hub.memory),
            "items": hub.rows(),
        }
        return web.json_response(document)

    async def activations(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response({"items": self._gateway.waiting_room.rows()})

    async def notices(self, request: web.Request) -> web.Response:
        self._authorize(request)
        if request.content_type != "application/json":
            return _problem(415, "send the notice as application/json")
        try:
            notice = parse_notice(await _read_json(request))
            told = await self._gateway.notices.announce(notice)
        except (ValueError, RecursionError) as wrong:
            return _problem(400, str(wrong))
        return web.json_response(told)

    def _authorize(self, request: web.Request) -> None:
        token = self._gateway.settings.admin_token
        if token is None:
            if not is_loopback(_host(request.host)):
                raise web.HTTPForbidden(text="without an admin token, ask for 127.0.0.1")
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise web.HTTPUnauthorized(text="the admin token is needed: Authorization: Bearer ...")


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


async def _protect(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


async def _read_json(request: web.Request) -> Any:
    return json.loads(await request.read())


def _problem(status: int, detail: str) -> web.Response:
    document = {"status": status, "detail": detail}
    return web.json_response(document, status=status, content_type="application/problem+json")
