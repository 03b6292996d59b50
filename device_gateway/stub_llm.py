"""An OpenAI-shaped endpoint that answers with what it was asked with.

`key=sk-a model=stub prompt=You are brief. messages=4`: whoever hears the answer knows which key,
model and prompt a conversation runs on, and how much of the dialogue came along. Keys that begin
with `bad` are refused as the real service refuses them (the key repeated in the error, too).
For demonstrations and tests; it never leaves loopback by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
from aiohttp import web

MAX_RECORDED: Final = 10_000
_PIECES: Final = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    key: str
    model: str
    messages: tuple[Mapping[str, Any], ...]


class StubLlm:
    """`async with StubLlm() as stub: ... stub.base_url`; `delay` is seconds between two pieces."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, delay: float = 0.0) -> None:
        self._host = host
        self._port = port
        self.delay = delay
        self.asked: deque[Asked] = deque(maxlen=MAX_RECORDED)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """What to write into `llm.base_url`."""
        return f"http://{self._host}:{self._port}/v1"

    async def start(self) -> None:
        """Listen; port 0 takes any free one."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, self._host, self._port).start()
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener and what is open."""
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _models(self, request: web.Request) -> web.Response:
        key = _key(request)
        if key.startswith("bad"):
            return _refused(key)
        return web.json_response({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        if key.startswith("bad"):
            return _refused(key)
        body = await request.json(loads=orjson.loads)
        asked = Asked(key, str(body.get("model")), tuple(body.get("messages", ())))
        self.asked.append(asked)
        answer = describe(asked)
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer}
            return web.json_response({"choices": [{"index": 0, "message": message}]})
        return await self._stream(request, answer)

    async def _stream(self, request: web.Request, answer: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # a turn that was interrupted
            for piece in _cut(answer):
                await asyncio.sleep(self.delay)
                choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
                chunk = {"object": "chat.completion.chunk", "choices": [choice]}
                await response.write(_event(chunk))
            await response.write(b"data: [DONE]\n\n")
        return response


def describe(asked: Asked) -> str:
    """The answer to a request: its key, model, system prompt and number of messages."""
    prompts = [str(m.get("content")) for m in asked.messages if m.get("role") == "system"]
    prompt = " ".join(prompts)
    return f"key={asked.key} model={asked.model} prompt={prompt} messages={len(asked.messages)}"


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _refused(key: str) -> web.Response:
    error = {"message": f"Incorrect API key provided: {key}.", "code": "invalid_api_key"}
    return web.json_response({"error": error}, status=401)


def _cut(answer: str) -> Sequence[str]:
    size = max(1, -(-len(answer) // _PIECES))
    return [answer[start : start + size] for start in range(0, len(answer), size)]


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"
