"""
The web application: the route table becomes handlers behind one door.

Everything that goes wrong leaves as ``application/problem+json``; what nobody foresaw is logged
with its trace under the request's id and leaves as a 500 that names the id and nothing else.
"""

from __future__ import annotations

import logging
import secrets
from importlib import resources
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from config_center.api import PEER_ROUTES, ROUTES
from config_center.door import Door
from config_center.listening import guard_of
from config_center.openapi import document
from config_center.problems import Problem, not_found

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from config_center.metrics import Metrics
    from config_center.service import Service
    from config_center.settings import Settings

log = logging.getLogger(__name__)

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
    door = Door(service, settings, metrics)
    for route in (*ROUTES, *PEER_ROUTES):
        app.router.add_route(route.method, route.path, door.handler(route))
    spec = orjson.dumps(document(ROUTES))
    app.router.add_get("/openapi.json", _fixed(spec, "application/json"))
    app.router.add_get("/metrics", door.metrics)
    app.router.add_get("/", _page("index.html"))
    app.router.add_get("/web/{name}", _web_file)
    return app


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    guard = guard_of(request)
    if guard is not None:
        guard.busy()
    try:
        return await handler(request)
    except (TimeoutError, ConnectionResetError):
        raise  # the client left, or does not read; there is nobody to answer
    except web.HTTPException as error:
        return _refused(request, error)
    except Problem as problem:
        return render(problem)
    except Exception:  # the last resort: a bug must not look like anything else
        return _failed(request)
    finally:
        if guard is not None:
            guard.idle()


def _refused(request: web.Request, error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        headers = {"Allow": allowed}
        return render(Problem("method-not-allowed", f"this path takes {allowed}", headers=headers))
    if isinstance(error, web.HTTPNotFound):
        return render(not_found(f"there is nothing at {request.path[:200]}; see /docs"))
    return render(Problem("invalid", error.reason)) if error.status < 500 else _failed(request)


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
