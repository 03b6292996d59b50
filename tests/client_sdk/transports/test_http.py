"""The path over HTTP, when the other end answers badly or not at all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from client_sdk.errors import TransportDown
from client_sdk.transports.base import Frame, Pong, Subscribed
from client_sdk.transports.http import HttpTransport

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STREAM = {"Content-Type": "text/event-stream"}


@contextlib.asynccontextmanager
async def center(watch: Handler) -> AsyncIterator[HttpTransport]:
    """A center whose stream is ``watch``, and the path to it."""
    app = web.Application()
    app.router.add_get("/v1/namespaces/default/watch", watch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    path = HttpTransport(f"http://127.0.0.1:{runner.addresses[0][1]}", "default", timeout=0.5)
    try:
        yield path
    finally:
        await path.close()
        await runner.cleanup()


async def begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers=STREAM)
    await response.prepare(request)
    await response.write(b"event: subscribed\ndata: 1-1\n\n")
    return response


async def test_a_refusal_whose_words_never_come_is_given_up() -> None:
    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503, headers={"Content-Type": "application/json"})
        response.content_length = 100
        await response.prepare(request)
        await response.write(b'{"detail": ')
        await asyncio.Event().wait()
        return response

    async with center(watch) as path:
        with pytest.raises(TransportDown):
            await asyncio.wait_for(path.open(), 5.0)


FRAME = b"event: record\ndata: " + base64.b64encode(b"frame") + b"\n\n"


async def test_a_ping_is_answered_by_a_comment_on_the_stream_itself() -> None:
    asked = asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        await response.write(b":\n\n" + FRAME)  # nobody asked for the comment yet
        await asked.wait()
        await response.write(FRAME + b":\n\n")
        await asyncio.Event().wait()
        return response

    async with center(watch) as path:
        await path.open()
        heard = [await path.receive(), await path.receive()]
        await path.ping()
        asked.set()
        heard += [await path.receive(), await path.receive()]

    assert heard == [Subscribed(), Frame(b"frame"), Frame(b"frame"), Pong()]


async def test_who_stops_waiting_in_the_middle_of_an_event_loses_nothing_of_it() -> None:
    half, rest = asyncio.Event(), asyncio.Event()

    async def watch(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        await response.write(FRAME[:20])
        half.set()
        await rest.wait()
        await response.write(FRAME[20:])
        await asyncio.Event().wait()
        return response

    async with center(watch) as path:
        await path.open()
        await path.receive()
        await half.wait()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(path.receive(), 0.1)
        rest.set()

        assert await asyncio.wait_for(path.receive(), 5.0) == Frame(b"frame")


async def test_a_stream_that_ends_is_a_path_that_is_down() -> None:
    async with center(begun) as path:
        await path.open()
        await path.receive()

        with pytest.raises(TransportDown):
            await path.receive()
