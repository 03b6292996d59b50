"""Logging in at an OpenID provider: to it, and back with a token for the page."""

from __future__ import annotations

from aiohttp import web

from config_center.access import Actor
from config_center.api.context import Call
from config_center.api.route import Parameter, Route
from config_center.oidc import CALLBACK, Login
from config_center.problems import Problem, invalid

_PATH = "/v1/login"
_COOKIE = "config-center-login"
_KEPT = 600  # seconds to log in within
_MOST_CODE = 4096


async def begin_login(call: Call) -> web.Response:
    """To the OpenID provider, when one is configured."""
    where, login = await call.service.login.begin()
    response = _to(where)
    response.set_cookie(
        _COOKIE,
        login.cookie(),
        path=_PATH,
        max_age=_KEPT,
        httponly=True,
        samesite="Lax",
        secure=call.service.login.oidc.public_url.startswith("https:"),
    )
    return response


async def finish_login(call: Call) -> web.Response:
    """Back from there: to the page, with a short-lived token in the fragment of its address."""
    if call.query("error") is not None:
        raise Problem("unauthorized", "the provider let you not in; log in again at /v1/login")
    code, state = call.query("code") or "", call.query("state") or ""
    if not 0 < len(code) <= _MOST_CODE:
        raise invalid("a login ends with a code of the provider", parameter="code")
    login = Login.parse(call.request.cookies.get(_COOKIE))
    made = await call.service.login.finish(login, state, code)
    call.caller = Actor(made["name"], made["role"], token_id=made["id"])  # for the audit
    response = _to("/#token=" + made["token"])
    response.del_cookie(_COOKIE, path=_PATH)
    return response


def _to(where: str) -> web.Response:
    headers = {"Location": where, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=302, headers=headers)


_TOLD = ("code", "state", "error", "error_description", "error_uri", "iss", "scope")
_BESIDES = ("session_state", "authuser", "hd", "prompt")

ROUTES = (
    Route("GET", _PATH, "public", "Log in at the OpenID provider", begin_login,
          answers="text/plain", status=302),
    Route("GET", CALLBACK, "public", "Back from the OpenID provider", finish_login,
          parameters=tuple(Parameter(name, "from the provider") for name in _TOLD + _BESIDES),
          answers="text/plain", status=302, changes=True),
)  # fmt: skip
