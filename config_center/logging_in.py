"""
The way to the OpenID provider and back; what it says is judged in config_center/oidc.py.

Who it is asked at is in the settings and in its own description alone, over TLS (or on this
machine), no redirect is followed, and an answer is small and comes in time. Its description is kept
for an hour, its keys until one is missing; those are asked for again at most twice a minute, for
anybody may come with a token that names a key which does not exist.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import importlib.util
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import aiohttp
import orjson

from client_sdk.errors import SettingInvalid
from client_sdk.private_files import read_private
from config_center.access import LOGIN, Actor
from config_center.oidc import Login, asked_token, endpoint_of, read_claims
from config_center.problems import Problem, not_found

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from config_center.oidc import Oidc
    from config_center.tokens import Tokens

_WITHIN = aiohttp.ClientTimeout(total=5.0)
_MOST = 256 * 1024
_AT_ONCE = 8
_DESCRIBED_FOR = 3600.0
_KEYS_AGAIN = 30.0
_MAKER = Actor(LOGIN, "admin")


class LoggingIn:
    """One for a center. Without an issuer in the settings there is no login."""

    def __init__(self, oidc: Oidc, tokens: Tokens, rng: Callable[[int], bytes]) -> None:
        self.oidc = oidc
        self._tokens = tokens
        self._rng = rng
        self._secret = ""
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._described: tuple[float, Any] = (-_DESCRIBED_FOR, None)
        self._keys: tuple[float, Any] = (-_KEYS_AGAIN, None)

    async def open(self) -> None:
        """Read what is configured. Raises SettingInvalid."""
        if self.oidc.issuer is None:
            return
        if importlib.util.find_spec("joserfc") is None:
            raise SettingInvalid("oidc.issuer needs joserfc: pip install 'config-center[oidc]'")
        path = self.oidc.client_secret_file
        if path is not None:
            what = "the client's secret"
            self._secret = (await asyncio.to_thread(read_private, path, what)).strip()

    async def begin(self) -> tuple[str, Login]:
        """Where to send the browser, and what it keeps. Raises Problem 404, 503."""
        if self.oidc.issuer is None:
            raise not_found("nobody logs in here: oidc.issuer names no provider; use a token")
        login = Login.new(self._rng)
        async with self._one_of_few():
            endpoint = await self._endpoint("authorization_endpoint")
        return login.address(self.oidc, endpoint), login

    async def finish(self, login: Login | None, state: str, code: str) -> dict[str, Any]:
        """The token of ours, once the provider sent the browser back. Raises Problem."""
        if self.oidc.issuer is None:
            raise not_found("nobody logs in here: oidc.issuer names no provider; use a token")
        if login is None or not hmac.compare_digest(login.state.encode(), state.encode()):
            raise Problem("unauthorized", "this browser began no such login; begin at /v1/login")
        async with self._one_of_few():
            id_token = await self._exchanged(code, login.verifier)
            claims = await self._claims(id_token, login.nonce)
        asked = asked_token(self.oidc, claims)
        self._tokens.require_few(asked["name"], _MAKER.name)
        return await self._tokens.create(asked, _MAKER)

    @contextlib.asynccontextmanager
    async def _one_of_few(self) -> AsyncIterator[None]:
        """Anybody may ask for a login; the provider is not to be asked by us as often as that."""
        if self._room.locked():
            raise Problem("busy", "many log in at once; try again", headers={"Retry-After": "1"})
        async with self._room:
            yield

    async def _exchanged(self, code: str, verifier: str) -> Any:
        """The ID token for a code."""
        oidc = self.oidc
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": oidc.callback,
            "client_id": oidc.client_id,
            "code_verifier": verifier,
        }
        answer = await self._ask(await self._endpoint("token_endpoint"), form, self._proof())
        return answer.get("id_token") if isinstance(answer, dict) else None

    def _proof(self) -> dict[str, str]:
        """Who this center is at the provider (RFC 6749, 2.3.1); without a secret PKCE suffices."""
        if not self._secret:
            return {}
        pair = f"{quote_plus(self.oidc.client_id)}:{quote_plus(self._secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}

    async def _claims(self, id_token: object, nonce: str) -> dict[str, Any]:
        """What the token says; asked for its key again, when it holds by none that is known."""
        now = self._tokens.clock_ms() // 1000
        keys = await self._key_set()
        try:
            return read_claims(id_token, keys, self.oidc, nonce, now)
        except Problem:
            newer = await self._key_set(again=True)
            if newer is keys:
                raise
            return read_claims(id_token, newer, self.oidc, nonce, now)

    async def _key_set(self, *, again: bool = False) -> Any:
        at, keys = self._keys
        if keys is None or (again and time.monotonic() - at >= _KEYS_AGAIN):
            keys = await self._ask(await self._endpoint("jwks_uri"))
            self._keys = time.monotonic(), keys
        return keys

    async def _endpoint(self, name: str) -> str:
        at, metadata = self._described
        issuer = str(self.oidc.issuer)
        try:
            if metadata is None or time.monotonic() - at >= _DESCRIBED_FOR:
                metadata = await self._ask(issuer.rstrip("/") + "/.well-known/openid-configuration")
                endpoint_of(metadata, name, issuer)
                self._described = time.monotonic(), metadata
            return endpoint_of(metadata, name, issuer)
        except ValueError as error:
            raise _away(str(error)) from None

    async def _ask(
        self, url: str, form: dict[str, str] | None = None, proof: dict[str, str] | None = None
    ) -> Any:
        method = "GET" if form is None else "POST"
        headers = {"Accept": "application/json", **(proof or {})}
        try:
            async with (
                aiohttp.ClientSession(timeout=_WITHIN, trust_env=False) as http,
                http.request(
                    method, url, data=form, headers=headers, allow_redirects=False
                ) as answer,
            ):
                raw = b"".join([part async for part in _bounded(answer)])
                if answer.status in (400, 401) and form is not None:
                    raise Problem("unauthorized", "the provider does not know this login any more")
                if answer.status != 200:
                    raise _away(f"it answers {answer.status}")
                return orjson.loads(raw)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _away(type(error).__name__) from error


async def _bounded(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > _MOST:
            raise ValueError("its answer is too large")
        yield part


def _away(why: str) -> Problem:
    return Problem(
        "login-unavailable",
        f"the OpenID provider cannot be used: {why}; try again, or use a token",
        headers={"Retry-After": "5"},
    )
