"""Connections that say nothing, say it slowly, or do not read, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from client_sdk import listening
from client_sdk.listening import PACE, Bounds, Connections, answering, listen
from tests.until import until

WITHIN = 0.4
LARGE = 8 * 1024 * 1024
GET_LARGE = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.asynccontextmanager
async def door(
    most: int = 1000,
    within: float = WITHIN,
    unread: float = WITHIN,
    per_address: int | None = None,
    pace: int = PACE,
) -> AsyncIterator[tuple[int, Connections]]:
    """A server that answers slowly at /slow, and much at /large, on a port of its own."""

    @web.middleware
    async def busy(request: web.Request, handler: object) -> web.StreamResponse:
        with answering(request):
            return await handler(request)  # type: ignore[operator, no-any-return]

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(WITHIN * 2)
        if request.path == "/large":
            return web.Response(body=b"x" * LARGE)
        return web.Response(text="here")

    app = web.Application(middlewares=[busy])
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    connections = Connections(Bounds(most, per_address, within, unread, pace))
    assert runner.server is not None
    server = await listen(runner.server, connections, "127.0.0.1", 0, None)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()
        await runner.cleanup()


async def half_sent(port: int, text: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    return reader, writer


async def test_a9_a_hundred_that_send_nothing_or_half_a_request_are_gone_in_time() -> None:
    async with door() as (port, connections):
        texts = [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HT"] * 34
        attackers = [await half_sent(port, text) for text in texts[:100]]
        await until(lambda: len(connections) + connections.cut >= 100)

        await until(lambda: len(connections) == 0)

        assert connections.cut == 100
        for _, writer in attackers:
            writer.close()


async def test_a9_one_that_sends_a_byte_now_and_then_gets_no_more_time() -> None:
    async with door() as (port, connections):
        loop = asyncio.get_running_loop()
        began = loop.time()
        reader, writer = await half_sent(port, b"GET / HTTP/1.1\r\nX: ")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"y")
                    await writer.drain()
                    await asyncio.sleep(WITHIN / 8)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 30.0)
        lasted = loop.time() - began
        dripping.cancel()
        await asyncio.wait((dripping,))
        writer.close()

    assert lasted >= WITHIN * 0.9
    assert connections.cut == 1


async def test_an_answer_may_take_longer_and_a_connection_is_used_again() -> None:
    async with door() as (port, connections), aiohttp.ClientSession() as http:
        for path in ("slow", "quick", "slow"):
            async with http.get(f"http://127.0.0.1:{port}/{path}") as answer:
                assert await answer.text() == "here"

        assert (len(connections), connections.cut) == (1, 0)


async def test_a_connection_kept_alive_has_its_time_again_from_the_next_byte() -> None:
    async with door() as (port, connections):
        reader, writer = await half_sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"here")

        writer.write(b"GET / HT")

        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert connections.cut == 1
        writer.close()


async def test_what_comes_while_the_center_stops_is_cut_and_who_is_in_stays() -> None:
    async with door(within=60.0) as (port, connections):
        _, kept = await half_sent(port, b"")
        await until(lambda: len(connections) == 1)

        connections.refuse_more()

        reader, late = await half_sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        assert len(connections) == 1
        for each in (kept, late):
            each.close()


async def test_a9_more_than_there_is_room_for_are_cut_at_once() -> None:
    async with door(most=2, within=60.0) as (port, connections):
        kept = [await half_sent(port, b"") for _ in range(2)]
        await until(lambda: len(connections) == 2)

        reader, writer = await half_sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""

        assert len(connections) == 2
        for _, each in [*kept, (reader, writer)]:
            each.close()


def narrow(port: int) -> socket.socket:
    """A client whose kernel takes next to nothing that it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(GET_LARGE)
    client.setblocking(False)
    return client


@pytest.mark.parametrize("who", ["guard", "kernel"])
async def test_a9_whoever_asks_for_much_and_reads_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """By our guard or by the kernel, whoever loses patience first: each of them does it alone."""
    if who == "guard":
        monkeypatch.setattr(listening, "_bound_kernel", lambda *_: None)
    elif not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this kernel knows no TCP_USER_TIMEOUT")
    else:
        monkeypatch.setattr(listening.Guard, "_start_unread", lambda *_: None)
    async with door() as (port, connections):
        readers = [narrow(port) for _ in range(20)]
        await until(lambda: len(connections) + connections.cut == 20)

        await until(lambda: len(connections) == 0)

        assert connections.cut == 20
        for reader in readers:
            reader.close()


class Waiting(asyncio.Transport):
    """A transport in which ``size`` bytes wait to be taken."""

    size = 1_000
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.size

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


async def test_a9_a_reader_has_time_as_long_as_he_keeps_the_pace() -> None:
    connections, transport = Connections(Bounds(10, unread=1.0, pace=100)), Waiting()
    guard = listening.Guard(asyncio.Protocol(), connections)
    guard._transport = transport
    guard.pause_writing()

    seen = []
    for left in (900, 700, 601):  # 100, 200 and 99 bytes in a second
        transport.size = left
        guard._look()
        await asyncio.sleep(0)
        seen.append(transport.aborted)
    guard.connection_lost(None)

    assert seen == [False, False, True]
    assert connections.cut == 1


def slow_together(connections: Connections, count: int) -> list[tuple[listening.Guard, Waiting]]:
    """Guards of so many connections, all of them found too slow in one moment."""
    made = [(listening.Guard(asyncio.Protocol(), connections), Waiting()) for _ in range(count)]
    for guard, transport in made:
        guard._transport = transport
        guard._too_slow()
    return made


async def test_a9_those_who_are_slow_together_are_cut_a_few_in_a_turn_of_the_loop() -> None:
    connections = Connections(Bounds(100), clock=lambda: 0.0)
    made = slow_together(connections, 21)
    made[5][0].connection_lost(None)  # it ends by itself meanwhile

    seen = []
    while connections.cut < 20:
        seen.append(connections.cut)
        await asyncio.sleep(0)

    assert max(after - before for before, after in itertools.pairwise([*seen, 20])) <= 2
    assert [transport.aborted for _, transport in made] == [n != 5 for n in range(21)]


async def test_a9_1100_are_cut_within_a_second_while_each_turn_lasts_20_ms() -> None:
    turns = itertools.count()
    connections = Connections(Bounds(2000), clock=lambda: next(turns) * 0.02)
    slow_together(connections, 1_100)

    for _ in range(50):
        await asyncio.sleep(0)

    assert connections.cut == 1_100


@pytest.mark.parametrize("half", [False, True])
async def test_a9_whoever_sends_no_more_and_reads_too_slowly_is_cut_like_any_other(
    monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    monkeypatch.setattr(listening, "_bound_kernel", lambda *_: None)  # it is as patient as can be
    async with door() as (port, connections):
        loop = asyncio.get_running_loop()
        with narrow(port) as reader:
            await loop.sock_recv(reader, 512)  # the answer has begun
            if half:
                reader.shutdown(socket.SHUT_WR)

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        await loop.sock_recv(reader, 512)
                        await asyncio.sleep(WITHIN / 4)

            dripping = asyncio.create_task(drip())
            await until(lambda: len(connections) == 0)
            dripping.cancel()
            await asyncio.wait((dripping,))

        assert connections.cut == 1


async def test_a_slow_line_that_keeps_the_pace_gets_the_whole_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_bound_kernel", lambda *_: None)  # it counts our pauses as his
    # A pace that a machine which stands still for a second keeps, too: TCP needs a while to go on.
    async with door(unread=3.0, pace=1) as (port, connections):
        loop, size = asyncio.get_running_loop(), 0
        began = loop.time()
        with narrow(port) as reader:
            while size < LARGE:
                part = await asyncio.wait_for(loop.sock_recv(reader, 64 * 1024), 20.0)
                assert part, f"cut after {size} of {LARGE} bytes"
                size += len(part)
                await asyncio.sleep(0.002)

    assert loop.time() - began > 3.0  # longer than who takes nothing is given
    assert connections.cut == 0


async def test_a9_no_address_takes_more_than_its_share() -> None:
    async with door(per_address=2, within=60.0) as (port, connections):
        kept = [await half_sent(port, b"") for _ in range(2)]
        await until(lambda: len(connections) == 2)

        reader, writer = await half_sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        kept.pop()[1].close()
        await until(lambda: len(connections) == 1)
        again = await half_sent(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await again[0].readuntil(b"here")

        for _, each in [*kept, again, (reader, writer)]:
            each.close()
        await until(lambda: len(connections) == 0)
        assert not connections._of_address  # nothing is remembered of who has gone
