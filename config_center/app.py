"""
The web application: the route table becomes handlers behind one door.

Everything that goes wrong leaves as ``application/problem+json``; what nobody foresaw is logged
with its trace under the request's id and leaves as a 500 that names the id and nothing else.

What a browser may do with an answer is said on every one of them. Nobody is known by a cookie: the
page keeps its token in its tab and sends it itself, so a page of another origin has nothing to send
along. A page of ours runs the scripts and styles of its own origin, nothing inline, and may turn no
text into markup; what the API answers may run and load nothing at all, and is kept by no cache.
"""

from __future__ import annotations

import logging
import secrets
from importlib import resources
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from client_sdk.listening import answering
from config_center.api import PEER_ROUTES, ROUTES
from config_center.door import Door
from config_center.openapi import document
from config_center.problems import Problem, not_found

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from config_center.metrics import Metrics
    from config_center.service import Service
    from config_center.settings import Settings

log = logging.getLogger(__name__)

_PAGE_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": _NOTHING,
    "Cache-Control": "no-store",
}
_PAGE_HEADERS = {
    "Content-Security-Policy": f"{_NOTHING}; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_app(service: Service, settings: Settings, metrics: Metrics) -> web.Application:
    """The application, not yet listening."""
    app = web.Application(
        client_max_size=settings.limits.change_bytes + 64 * 1024,
        middlewares=[_problems],
    )
    app.on_response_prepare.append(_protect)
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
    try:
        with answering(request):
            return await handler(request)
    except (TimeoutError, ConnectionResetError):
        raise  # the client left, or does not read; there is nobody to answer
    except web.HTTPException as error:
        return _refused(request, error)
    except Problem as problem:
        return render(problem)
    except Exception:  # the last resort: a bug must not look like anything else
        return _failed(request)


async def _protect(_request: web.Request, response: web.StreamResponse) -> None:
    if response.content_type == "text/html":
        response.headers.update(_PAGE_HEADERS)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


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
    return web.Response(
        body=path.read_bytes(),
        content_type=_PAGE_TYPES[suffix],
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )
