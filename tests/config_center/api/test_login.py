"""A person logs in: a browser, a center and an OpenID provider, over real HTTP."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey

from client_sdk.errors import SettingInvalid
from client_sdk.private_files import write_private
from tests.config_center.api.world import Http, center, http

SECRET = "s3cr et:%"


@dataclass
class Provider:
    """A small OpenID provider. It gives a code to whoever comes, and counts what it is asked."""

    url: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one"}))
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "u-1", "groups": ["ops"]})
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answers: dict[str, web.Response] = field(default_factory=dict)

    def log_in(self, where: str) -> tuple[str, str]:
        """What a browser brings back from the page that it was sent to: state and code."""
        asked = {name: value[0] for name, value in parse_qs(urlsplit(where).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return asked["state"], code

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.answers:
            return self.answers[request.path]
        return web.json_response(await getattr(self, request.path.rpartition("/")[2])(request))

    async def keys(self, _: web.Request) -> object:
        return {"keys": [self.key.as_dict(private=False)]}

    async def token(self, request: web.Request) -> object:
        form = await request.post()
        asked = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        basic = base64.b64encode(b"center:s3cr+et%3A%25").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
            or request.headers.get("Authorization") != f"Basic {basic}"
        ):
            raise web.HTTPBadRequest
        now = int(time.time())
        about = {"iss": self.url, "aud": "center", "iat": now, "exp": now + 60, **self.claims}
        about.setdefault("nonce", asked["nonce"])
        head = {"alg": "ES256", "kid": self.key.kid}
        return {"id_token": jwt.encode(head, about, self.key), "access_token": "unused"}

    def describe(self) -> dict[str, str]:
        return {
            "issuer": self.url,
            "authorization_endpoint": self.url + "/authorize",
            "token_endpoint": self.url + "/token",
            "jwks_uri": self.url + "/keys",
        }

    async def described(self, _: web.Request) -> web.Response:
        self.asked.append("described")
        return web.json_response(self.describe())


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.described)
    app.router.add_route("*", "/{name}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    try:
        yield made
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def world(home: Path) -> AsyncIterator[tuple[Http, Provider]]:
    """A provider, and a center that knows it."""
    write_private(home / "client.secret", SECRET + "\n")
    async with provider() as issuer:
        oidc = {
            "oidc.issuer": issuer.url,
            "oidc.client_id": "center",
            "oidc.client_secret_file": home / "client.secret",
            "oidc.public_url": "http://localhost:1",
            "oidc.roles": "ops=operator@default/llm., all=reader",
        }
        async with http(home / "data", **oidc) as api:
            yield api.with_token(None), issuer


@dataclass
class Came:
    """What a browser was answered."""

    status: int
    where: str
    cookies: SimpleCookie
    body: Any


async def browse(api: Http, path: str, cookie: str = "") -> Came:
    """One request of a browser that follows no redirect by itself."""
    sent = {"Cookie": f"config-center-login={cookie}"} if cookie else {}
    async with api._session.get(api.url + path, headers=sent, allow_redirects=False) as answer:
        body = await answer.json() if "json" in answer.content_type else None
        assert body is not None or answer.headers["Cache-Control"] == "no-store"
        where = answer.headers.get("Location", "")
        return Came(answer.status, where, answer.cookies, body)


async def begun(api: Http, issuer: Provider) -> tuple[str, str, str]:
    """The first half of a login: the cookie, the state and the code."""
    came = await browse(api, "/v1/login")
    assert came.status == 302
    return came.cookies["config-center-login"].value, *issuer.log_in(came.where)


async def test_somebody_logs_in_and_gets_what_his_group_may(tmp_path: Path) -> None:
    async with world(tmp_path) as (api, issuer):
        came = await browse(api, "/v1/login")
        morsel = came.cookies["config-center-login"]
        assert came.where.startswith(issuer.url + "/authorize?response_type=code")
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (
            True,
            "Lax",
            "/v1/login",
        )
        assert morsel.value.split(".")[2] not in came.where
        state, code = issuer.log_in(came.where)

        back = f"/v1/login/callback?code={code}&state={state}&session_state=x&iss=y"
        came = await browse(api, back, morsel.value)

        assert (came.status, came.where[:11]) == (302, "/#token=cc_")
        assert came.cookies["config-center-login"].value == ""
        person = api.with_token(came.where.partition("=")[2])
        _, told, _ = await person("GET", "/v1/whoami")
        assert (told["name"], told["role"]) == ("oidc:u-1", "operator")
        assert told["scopes"] == [{"namespace": "default", "prefix": "llm."}]
        assert told["expires_at"] is not None
        again = await browse(api, back, morsel.value)
        assert (again.status, again.where) == (401, "")


async def log_in(api: Http, issuer: Provider) -> Came:
    cookie, state, code = await begun(api, issuer)
    return await browse(api, f"/v1/login/callback?code={code}&state={state}", cookie)


async def test_the_audit_tells_who_logged_in_and_who_was_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (api, issuer):
        token = (await log_in(api, issuer)).where.partition("=")[2]
        issuer.claims["groups"] = ["strangers"]
        assert (await log_in(api, issuer)).status == 403
        _, told, _ = await api.with_token(api.center.admin_token)("GET", "/v1/audit")
        _, me, _ = await api.with_token(token)("GET", "/v1/whoami")

        refused, accepted = told["items"][:2]
        assert (accepted["actor"], accepted["role"]) == ("oidc:u-1", "operator")
        assert (accepted["token"], accepted["outcome"]) == (me["id"], "accepted")
        assert (refused["status"], refused["outcome"]) == (403, "refused")
        assert token not in str(told)
        assert "code-" not in str(told)


async def test_nobody_fills_the_center_with_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config_center.tokens.MOST_OF_ONE", 2)
    async with world(tmp_path) as (api, issuer):
        assert [(await log_in(api, issuer)).status for _ in range(3)] == [302, 302, 429]
        issuer.claims["sub"] = "u-2"
        assert (await log_in(api, issuer)).status == 302


async def test_a6_nobody_is_logged_in_by_an_answer_that_his_browser_did_not_ask_for(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as (api, issuer):
        cookie, state, code = await begun(api, issuer)
        others, theirs, _ = await begun(api, issuer)
        back = "/v1/login/callback"
        for given, path in (
            ("", f"{back}?code={code}&state={state}"),
            (others, f"{back}?code={code}&state={state}"),
            (cookie, f"{back}?code={code}&state={theirs}"),
            (cookie, f"{back}?code={code}"),
            (cookie, f"{back}?code={code}&state=%C3%BC"),
            (cookie, f"{back}?error=access_denied&state={state}"),
        ):
            assert (await browse(api, path, given)).status == 401, path
        for path in (f"{back}?state={state}", f"{back}?state={state}&code={'c' * 5000}"):
            assert (await browse(api, path, cookie)).status == 400
        assert "/token" not in issuer.asked
        assert (await browse(api, f"{back}?code={code}&state={state}", cookie)).status == 302


async def test_what_does_not_hold_or_is_given_no_role_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (api, issuer):
        for claims, status in (
            ({"groups": ["strangers"]}, 403),
            ({"groups": ["ops"], "nonce": "another"}, 401),
            ({"groups": ["ops"], "aud": "another"}, 401),
            ({"groups": ["ops"], "exp": 1}, 401),
            ({"groups": ["all"]}, 302),
        ):
            issuer.claims = {"sub": "u-1", **claims}
            cookie, state, code = await begun(api, issuer)
            came = await browse(api, f"/v1/login/callback?code={code}&state={state}", cookie)
            assert came.status == status, claims
        assert issuer.asked.count("described") == 1
        assert issuer.asked.count("/keys") == 1


async def test_a_key_that_the_provider_changed_is_asked_for_and_not_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def log_in() -> int:
        cookie, state, code = await begun(api, issuer)
        path = f"/v1/login/callback?code={code}&state={state}"
        return (await browse(api, path, cookie)).status

    async with world(tmp_path) as (api, issuer):
        assert await log_in() == 302
        issuer.key = ECKey.generate_key("P-256", {"kid": "two"})
        assert await log_in() == 401
        assert issuer.asked.count("/keys") == 1
        monkeypatch.setattr("config_center.logging_in._KEYS_AGAIN", 0.0)
        assert await log_in() == 302
        assert issuer.asked.count("/keys") == 2


async def test_a_provider_that_is_away_or_odd_is_said_as_such(tmp_path: Path) -> None:
    async with world(tmp_path) as (api, issuer):
        for answer in (
            web.Response(status=500),
            web.Response(status=302, headers={"Location": issuer.url + "/keys"}),
            web.Response(body=b"no JSON"),
            web.Response(body=b"[" + b" " * 300_000 + b"]"),
        ):
            cookie, state, code = await begun(api, issuer)
            issuer.answers = {"/token": answer}
            came = await browse(api, f"/v1/login/callback?code={code}&state={state}", cookie)
            assert came.body["type"] == "urn:config-center:problem:login-unavailable"
            assert came.status == 503
        issuer.answers = {"/token": web.Response(body=b"[]")}
        cookie, state, code = await begun(api, issuer)
        came = await browse(api, f"/v1/login/callback?code={code}&state={state}", cookie)
        assert came.status == 401


async def test_without_a_provider_there_is_no_login(tmp_path: Path) -> None:
    async with http(tmp_path) as api:
        for path in ("/v1/login", "/v1/login/callback?code=a&state=b"):
            came = await browse(api, path)
            assert (came.status, "oidc.issuer" in came.body["detail"]) == (404, True)


async def test_a2_a_secret_of_the_client_that_others_can_read_keeps_it_from_starting(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o644)
    oidc = {
        "oidc.issuer": "http://127.0.0.1:1",
        "oidc.client_id": "center",
        "oidc.client_secret_file": tmp_path / "secret",
        "oidc.public_url": "http://127.0.0.1:1",
        "oidc.roles": "ops=admin",
    }
    with pytest.raises(SettingInvalid, match="chmod 600"):
        async with center(tmp_path / "data", **oidc):
            pass
