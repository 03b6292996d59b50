"""
The web application: the route table becomes handlers behind one door.

At the door, in this order: who asks (401), may he (404 for a namespace he cannot see, 403 inside
one he can), are path and query of a form that exists (400), then the handler. Everything that goes
wrong leaves as ``application/problem+json``; what nobody foresaw is logged with its trace under the
request's id and leaves as a 500 that names the id and nothing else.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from client_sdk.errors import ConfigError, NotVerified
from config_center import peers
from config_center.access import authenticate, authorize
from config_center.api import PEER_ROUTES, ROUTES
from config_center.api.context import Call, await_position, check_names, check_query
from config_center.journal import JournalDown
from config_center.openapi import document
from config_center.problems import Problem, not_found
from config_center.store.base import OutcomeUnknown, StoreDown, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from client_sdk.state import NamespaceState
    from config_center.access import Actor
    from config_center.api.route import Route
    from config_center.metrics import Metrics
    from config_center.service import Service
    from config_center.settings import Settings

log = logging.getLogger(__name__)

_MOST_KNOWN = 1000
_PAGE_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
}


def make_app(service: Service, settings: Settings, metrics: Metrics) -> web.Application:
    """The application, not yet listening."""
    app = web.Application(
        client_max_size=settings.limits.change_bytes + 64 * 1024,
        middlewares=[_problems],
    )
    door = _Door(service, settings, metrics)
    for route in (*ROUTES, *PEER_ROUTES):
        app.router.add_route(route.method, route.path, door.handler(route))
    spec = orjson.dumps(document(ROUTES))
    app.router.add_get("/openapi.json", _fixed(spec, "application/json"))
    app.router.add_get("/metrics", door.metrics)
    app.router.add_get("/", _page("index.html"))
    app.router.add_get("/web/{name}", _web_file)
    return app


class _Door:
    def __init__(self, service: Service, settings: Settings, metrics: Metrics) -> None:
        self._service = service
        self._settings = settings
        self._metrics = metrics
        self._run = secrets.token_hex(4)
        self._requests = count(1)
        self._known: dict[str, Actor] = {}
        self._known_by: NamespaceState | None = None

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        told = self._metrics.counter_of(route)

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            status = 500
            try:
                response = await self._answer(route, request)
                status = response.status
                return response
            except Problem as problem:
                status = problem.status
                raise
            finally:
                told(status, time.perf_counter() - began)

        return handle

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        call = Call(request, route, self._service, self._settings, None)
        if route.permission != "public":
            call.caller = self._caller(call)
        if request.query_string:
            check_query(call)
            await await_position(call)
        return await route.handler(call)

    def _caller(self, call: Call) -> Actor:
        request = call.request
        if call.route.permission == "peer":
            verifier = self._service.registry.verifier
            header = request.headers.get("Authorization")
            return peers.authenticate(verifier, header, request.path_qs, time.time())
        actor = self._actor(request.headers.get("Authorization"))
        check_names(call)
        authorize(actor, call.route.permission, request.match_info.get("ns"))
        return replace(actor, request_id=f"{self._run}-{next(self._requests):x}")

    def _actor(self, header: str | None) -> Actor:
        """Who asks. Known ones are remembered as long as the tokens are the very same state."""
        system = self._service.registry.system.state
        if system is not self._known_by:
            self._known_by, self._known = system, {}
        actor = self._known.get(header or "")
        if actor is None:
            actor = authenticate(system, header)
            if len(self._known) < _MOST_KNOWN:
                self._known[header or ""] = actor
        return actor

    async def metrics(self, request: web.Request) -> web.Response:
        body = self._metrics.render(self._service)
        return web.Response(body=body, headers={"Content-Type": self._metrics.content_type})


# What the store or the journal met while something was asked for that is no change.
_TROUBLE: dict[type[Exception], str] = {
    StoreDown: "store-unavailable",
    StoreRefused: "store-unavailable",
    OutcomeUnknown: "outcome-unknown",
    JournalDown: "store-full",
    NotVerified: "tampered",
}


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (TimeoutError, ConnectionResetError):
        raise  # the client left, or does not read; there is nobody to answer
    except web.HTTPException as error:
        return _refused(request, error)
    except (Problem, ConfigError) as error:
        return render(_problem_of(request, error))
    except Exception:  # the last resort: a bug must not look like anything else
        return _failed(request)


def _refused(request: web.Request, error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        headers = {"Allow": allowed}
        return render(Problem("method-not-allowed", f"this path takes {allowed}", headers=headers))
    if isinstance(error, web.HTTPNotFound):
        return render(not_found(f"there is nothing at {request.path[:200]}; see /docs"))
    return render(Problem("invalid", error.reason)) if error.status < 500 else _failed(request)


def _problem_of(request: web.Request, error: Problem | ConfigError) -> Problem:
    if isinstance(error, Problem):
        return error
    for kind, name in _TROUBLE.items():
        if isinstance(error, kind):
            return Problem(name, str(error), headers={"Retry-After": "1"})
    log.warning("%s %s: %s", request.method, request.path, error)
    return Problem("invalid", str(error))


def _failed(request: web.Request) -> web.Response:
    request_id = secrets.token_hex(8)
    log.exception("request %s failed: %s %s", request_id, request.method, request.path)
    detail = f"the center failed; its log says why under request {request_id}"
    return render(Problem("internal", detail, request=request_id))


def render(problem: Problem) -> web.Response:
    """A problem as RFC 9457."""
    return web.Response(
        body=orjson.dumps(problem.to_json()),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )


def _fixed(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    return serve


def _page(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        return _file(name)

    return serve


async def _web_file(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


def _file(name: str) -> web.Response:
    suffix = name[name.rfind(".") :]
    folder = resources.files("config_center").joinpath("web")
    path = folder.joinpath(name)
    if suffix not in _PAGE_TYPES or "/" in name or not path.is_file():
        raise not_found(f"there is no file {name[:100]!r}")
    headers = {**_HEADERS, "Cache-Control": "no-cache"}
    return web.Response(
        body=path.read_bytes(),
        content_type=_PAGE_TYPES[suffix],
        charset="utf-8",
        headers=headers,
    )
