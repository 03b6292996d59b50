"""OpenAI-compatible streaming chat completions over one aiohttp session per provider.

*Nothing secret leaves this file.* Reasons are made of a status code and a host; the body of an
error answer is never repeated, because some services put the key into it, and redirects are not
followed, because they would carry the key to another host.

*It connects where it may.* Every address is shown to `egress` in the moment it is dialled, whatever
name it was found by. Answers are asked for uncompressed and are never unfolded.

*The probe costs nothing.* `GET {base_url}/models` is authenticated and free; a service that lacks
that route (404, 405) is asked for a single token instead.

Reference: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from device_gateway.egress import Egress
from device_gateway.errors import ProviderFailed

CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 20.0
"""Longest wait between two pieces; the deadline of the whole turn is the session's."""
PROBE_SECONDS: Final = 8.0
MAX_LINE_BYTES: Final = 256 * 1024


class OpenAiLlm:
    """One endpoint with one key and one model; `silence` in seconds, see SILENCE_SECONDS."""

    def __init__(
        self,
        base_url: URL,
        api_key: str,
        model: str,
        egress: Egress,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        headers = {"Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._base_url = base_url
        self._model = model
        self._egress = egress
        self._refused = ""
        self._http = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=silence
            ),
            connector=aiohttp.TCPConnector(limit=0, socket_factory=self._socket),
            read_bufsize=MAX_LINE_BYTES,
            auto_decompress=False,
            trust_env=False,  # a proxy would dial for us, and ask nobody
        )

    async def stream(self, messages: Sequence[dict[str, str]]) -> AsyncGenerator[str, None]:
        """The pieces of the answer, as the endpoint sends them.

        Raises:
            ProviderFailed: refused, unreachable, silent, no chat completion, or cut: a stream that
                ends with neither `[DONE]` nor a `finish_reason`.
        """
        body = {"model": self._model, "messages": list(messages), "stream": True}
        async with self._request("POST", "chat/completions", body) as response:
            self._check(response)
            whole = False
            async for line in response.content:
                if not line.startswith(b"data:"):
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                piece, last = _content(data)
                whole = whole or last
                if piece:
                    yield piece
            if not whole:
                raise ProviderFailed("answer", f"{self._base_url.host} ended in mid-answer")

    async def probe(self) -> None:
        """Ask for the list of models, else for one token."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probe()
        except TimeoutError as late:
            message = f"{self._base_url.host} did not answer within {PROBE_SECONDS:.0f} s"
            raise ProviderFailed("timeout", message) from late

    async def _probe(self) -> None:
        async with self._request("GET", "models") as response:
            if response.status not in (404, 405):
                self._check(response)
                return
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "ping"}],
            "max_tokens": 1,
        }
        async with self._request("POST", "chat/completions", body) as response:
            self._check(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url, host = self._base_url / path, self._base_url.host
        try:
            async with self._http.request(
                method, url, json=body, allow_redirects=False
            ) as response:
                yield response
        except TimeoutError as late:
            raise ProviderFailed("timeout", f"{host} was silent for too long") from late
        except aiohttp.ClientConnectionError as broken:
            if self._refused:
                raise ProviderFailed("settings", self._refused) from None
            raise ProviderFailed("unavailable", f"{host} cannot be reached") from broken
        except (aiohttp.ClientError, ValueError) as odd:
            raise ProviderFailed("answer", f"{host} does not answer in HTTP we know") from odd

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for an address that was found; it connects there and nowhere else."""
        family, kind, protocol, _, address = info
        host, found = str(self._base_url.host), str(address[0])
        why = self._egress.refuses(host, found)
        self._refused = f"{host} is {found}: {why} (provider_hosts)" if why else ""
        if why:
            raise OSError(self._refused)
        return socket.socket(family, kind, protocol)

    def _check(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        kind, meaning = _MEANINGS.get(status, ("refused", "it refused the request"))
        if status >= 500:
            kind, meaning = "unavailable", "it has trouble of its own"
        message = f"{self._base_url.host} answered {status}: {meaning}"
        raise ProviderFailed(kind, message)


_MEANINGS: Final = {
    401: ("auth", "the api_key is not accepted"),
    403: ("auth", "the api_key may not do this"),
    404: ("settings", "no such model, or a wrong base_url"),
    429: ("limit", "too many requests, or no credit left"),
}


def _content(data: bytes) -> tuple[str, bool]:
    """The words of a chunk, and whether it says that it is the last of its answer."""
    try:
        choices = orjson.loads(data)["choices"]
        if not choices:
            return "", False
        piece, last = choices[0]["delta"].get("content"), choices[0].get("finish_reason")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as odd:
        raise ProviderFailed("answer", "a piece that is not a chat completion") from odd
    return piece if isinstance(piece, str) else "", last is not None


async def build(settings: Mapping[str, Any], egress: Egress) -> OpenAiLlm:
    """Build from `{"type": "openai", "base_url", "api_key", "model"}`; no network is touched.

    Raises:
        ProviderFailed: a setting is missing or cannot be used.
    """
    model, api_key = settings.get("model"), settings.get("api_key", "")
    if not isinstance(model, str) or not model:
        raise ProviderFailed("settings", "llm.model must name a model")
    if not isinstance(api_key, str) or not api_key.isascii() or not api_key.isprintable():
        raise ProviderFailed("settings", "llm.api_key must be a line of plain ASCII")
    return OpenAiLlm(_base_url(settings.get("base_url")), api_key, model, egress)


def _base_url(text: object) -> URL:
    try:
        url = URL(text) if isinstance(text, str) else URL()
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ProviderFailed("settings", "llm.base_url must be an http or https URL")
    return url
