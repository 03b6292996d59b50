"""A whole center on a private store, and a client with its admin's token."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from config_center.center import Center
from config_center.ledger.keeper import Rhythm
from config_center.settings import load

QUICK = Rhythm(beat_every=0.1, ttl=10, guard_every=0.2, patience=0.3)
NS = "/v1/namespaces/default"


class Http:
    """Requests with a token; every answer is (status, body, headers)."""

    def __init__(self, session: aiohttp.ClientSession, center: Center, token: str | None) -> None:
        self._session = session
        self.center = center
        self.url = center.url
        self.token = token

    async def __call__(
        self, method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str
    ) -> tuple[int, Any, Any]:
        plain = raw if raw is not None else None if body is None else orjson.dumps(body)
        data = None if plain is None else io.BytesIO(plain)
        sent = {"Content-Type": "application/json", **headers}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        async with self._session.request(
            method, self.url + path, data=data, headers=sent
        ) as response:
            answer = await response.read()
            is_json = "json" in response.content_type
            return response.status, orjson.loads(answer) if is_json else answer, response.headers

    def with_token(self, token: str | None) -> Http:
        """The same client as somebody else."""
        return Http(self._session, self.center, token)


@contextlib.asynccontextmanager
async def center(data: Path, rhythm: Rhythm = QUICK, **settings: Any) -> AsyncIterator[Center]:
    """A center that runs inside the block."""
    given = {"listen": "127.0.0.1:0", "data": data, **settings}
    async with Center(load(given, environment={}).settings, rhythm) as opened:
        yield opened


@contextlib.asynccontextmanager
async def http(data: Path, **settings: Any) -> AsyncIterator[Http]:
    """The HTTP API of a center, as its admin."""
    async with center(data, **settings) as opened, aiohttp.ClientSession() as session:
        yield Http(session, opened, opened.admin_token)
