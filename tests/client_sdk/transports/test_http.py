"""The path over HTTP, when the other end answers badly or not at all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from client_sdk.errors import TransportDown
from client_sdk.link import Link
from client_sdk.replica import Replica
from client_sdk.signing import Verifier
from client_sdk.steps import Timing
from client_sdk.transports.base import Frame, Pong, Subscribed
from client_sdk.transports.http import HttpTransport, seconds_of
from client_sdk.waiting import in_time
from tests.client_sdk.wire import no_list
from tests.until import until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STREAM = {"Content-Type": "text/event-stream"}


@contextlib.asynccontextmanager
async def center(
    watch: Handler, ring: Handler | None = None, timeout: float = 10.0
) -> AsyncIterator[HttpTransport]:
    """A center whose stream is ``watch``, and the path to it."""
    app = web.Application()
    if ring is not None:
        app.router.add_get("/v1/namespaces/default/ring", ring)
    app.router.add_get("/v1/namespaces/default/watch", watch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    path = HttpTransport(f"http://127.0.0.1:{runner.addresses[0][1]}", "default", timeout=timeout)
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

    async with center(watch, timeout=0.5) as path:
        with pytest.raises(TransportDown):
            await asyncio.wait_for(path.open(), 20.0)


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

        assert await asyncio.wait_for(path.receive(), 30.0) == Frame(b"frame")


async def silent(request: web.Request) -> web.StreamResponse:
    response = await begun(request)
    await asyncio.Event().wait()
    return response


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_close_that_is_cancelled_closes_all_the_same(steps: int) -> None:
    """On a busy machine the second asking of whoever ended the follower came in the middle."""
    async with center(silent) as path:
        await path.open()
        await path.receive()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(path.receive(), 0.01)  # its reading goes on
        closing = asyncio.ensure_future(path.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait((closing,))

        assert path._session.closed


async def test_a_stream_that_ends_is_a_path_that_is_down() -> None:
    async with center(begun) as path:
        await path.open()
        await path.receive()

        with pytest.raises(TransportDown):
            await path.receive()


class KeepsStreams:
    """A proxy before a center that hands on no answer before it is whole; ``let_go`` ends that."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.polls = 0
        self.let_go = asyncio.Event()
        self.streams = asyncio.Event()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[KeepsStreams]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._hand_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as self._session:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        headers = {"Authorization": request.headers["Authorization"]}
        body, url = await request.read(), self._target + request.raw_path
        self.polls += "/news" in url
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            if not answer.content_type.startswith("text/event-stream"):
                return web.Response(
                    body=await answer.read(), status=answer.status, content_type=answer.content_type
                )
            await self.let_go.wait()
            response = web.StreamResponse(headers=STREAM)
            await response.prepare(request)
            self.streams.set()
            async for part in answer.content.iter_any():
                await response.write(part)
            return response


class Hasty(HttpTransport):
    """Waits for a stream a moment only, and for all else as long as it takes."""

    async def _begun(self) -> Any:
        return await in_time(super()._begun(), 0.5)


async def test_where_streams_are_kept_back_the_news_is_polled_and_the_stream_comes_back(
    tmp_path: Path,
) -> None:
    pytest.importorskip("jsonschema_rs", reason="a whole center, which needs Python 3.11")
    from config_center.access import Actor
    from config_center.publishing import Put
    from tests.config_center.api.world import center as real_center

    async with (
        real_center(tmp_path / "data") as opened,
        KeepsStreams(opened.url).running() as proxy,
    ):
        path = Hasty(proxy.url, "default", opened.admin_token, timeout=30.0, stream_again=0.1)
        await path.open()
        timing = Timing(pong=30.0)  # polls answer a ping: on a busy machine not in a second
        replica = Replica("default", Verifier(opened.registry.lists.newest), timing=timing)
        followed: list[int] = []

        async def follow() -> None:
            link = Link(
                path, replica, lambda step, _: followed.append(step.state.position.v),
                lambda _: None, lambda: None, no_list, only=True,
            )  # fmt: skip
            await link.run()

        following = asyncio.create_task(follow())
        for value in range(3):
            await opened.service.put("default", "k", Put(value=value), Actor("test", "admin"))
            revision = opened.registry.get("default").state.position.v
            await until(lambda revision=revision: revision in followed)
        by_polls = proxy.polls
        proxy.let_go.set()
        await asyncio.wait_for(proxy.streams.wait(), 30.0)
        await opened.service.put("default", "k", Put(value="streamed"), Actor("test", "admin"))
        await until(lambda: opened.registry.get("default").state.position.v in followed)
        await until(lambda: not replica.is_stale(time.monotonic()))
        following.cancel()
        await asyncio.wait((following,))
        await path.close()

    assert by_polls >= 3


async def test_a_stream_that_is_refused_for_now_says_when_to_come_again() -> None:
    async def watch(request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "full"}, status=503, headers={"Retry-After": "7"})

    async with center(watch) as path:
        with pytest.raises(TransportDown, match="full") as refused:
            await path.open()

    assert (refused.value.retry_after, refused.value.permanent) == (7.0, False)


async def test_a_read_that_is_too_many_is_asked_again_and_the_stream_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, waits, sleep = [], [], asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async def watch(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        await asyncio.Event().wait()
        return response

    async def ring(request: web.Request) -> web.Response:
        asked.append(1)
        if len(asked) < 3:
            return web.json_response({}, status=429, headers={"Retry-After": "60"})
        return web.json_response({"dek": "wrapped"})

    async with center(watch, ring) as path:
        await path.open()
        assert await path.receive() == Subscribed()
        monkeypatch.setattr("client_sdk.transports.http.asyncio.sleep", noted)
        assert await path.read_ring() == {"dek": "wrapped"}
        monkeypatch.undo()

    assert len(waits) == 2
    assert all(10.0 <= wait <= 20.0 for wait in waits)  # nor is it longer than for an answer


async def test_a_read_that_is_too_many_for_long_is_given_up() -> None:
    asked = []

    async def watch(request: web.Request) -> web.StreamResponse:
        return await begun(request)

    async def ring(request: web.Request) -> web.Response:
        asked.append(1)
        return web.json_response({}, status=429)

    async with center(watch, ring) as path:
        await path.open()
        with pytest.raises(TransportDown, match="429"):
            await path.read_ring()

    assert len(asked) == 4


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0.0),
        ("3", 3.0),
        ("9" * 400, 999_999_999.0),
        ("-1", 0.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:05 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert seconds_of(header, 10.0) == seconds
