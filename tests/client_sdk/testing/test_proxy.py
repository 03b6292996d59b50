"""What the bad network does to a connection, seen from both ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client_sdk.testing.proxy import TO_CLIENT, FaultyTcp
from tests.until import until

WITHIN = 30.0


@contextlib.asynccontextmanager
async def echo(path: Path, greeting: bytes = b"") -> AsyncIterator[str]:
    """A server on a unix socket that sends back what it gets."""

    live: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        live.append(writer)
        writer.write(greeting)
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()
        live.remove(writer)

    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield str(path)
    finally:
        server.close()
        await until(lambda: not live)


async def read(reader: asyncio.StreamReader, count: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(count), WITHIN)


async def test_bytes_pass_and_a_cut_ends_both_sides(tmp_path: Path) -> None:
    async with echo(tmp_path / "s") as backend, FaultyTcp(backend) as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        writer.write(b"hello")
        assert await read(reader, 5) == b"hello"

        assert network.cut() == 1
        with pytest.raises(OSError, match="reset"):
            await asyncio.wait_for(reader.read(), WITHIN)
        await until(lambda: network.open == 0)
        writer.close()


async def test_a_black_hole_keeps_what_it_swallowed_until_it_is_healed(tmp_path: Path) -> None:
    async with echo(tmp_path / "s", b"hi") as backend, FaultyTcp(backend) as network:
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        assert await read(reader, 2) == b"hi"
        network.blackhole(TO_CLIENT)
        writer.write(b"kept")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)

        network.heal()
        assert await read(reader, 4) == b"kept"
        writer.close()


async def test_a_stream_ends_after_exactly_so_many_bytes(tmp_path: Path) -> None:
    async with echo(tmp_path / "s", b"0123456789") as backend, FaultyTcp(backend) as network:
        got = []
        for count in range(1, 10):
            network.end_after = count
            reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
            got.append(await read(reader, count))
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await read(reader, 1)
            writer.close()

    assert got == [b"0123456789"[:count] for count in range(1, 10)]


async def test_refused_and_away_backends_end_the_connection(tmp_path: Path) -> None:
    async with FaultyTcp(str(tmp_path / "nobody")) as network:
        for network.refusing in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
            with contextlib.suppress(OSError):
                assert await asyncio.wait_for(reader.read(), WITHIN) == b""
            writer.close()


async def test_the_next_connection_goes_where_the_address_points_now(tmp_path: Path) -> None:
    async with (
        echo(tmp_path / "a", b"a") as a,
        echo(tmp_path / "b", b"b") as b,
        FaultyTcp(a) as network,
    ):
        first, one = await asyncio.open_connection("127.0.0.1", network.port)
        assert await read(first, 1) == b"a"
        network.backend = b
        second, two = await asyncio.open_connection("127.0.0.1", network.port)
        assert await read(second, 1) == b"b"
        one.write(b"x")
        assert await read(first, 1) == b"x"
        assert network.connections == 2
        one.close()
        two.close()


async def test_a_slow_network_takes_its_time(tmp_path: Path) -> None:
    async with echo(tmp_path / "s", b"x" * 1000) as backend, FaultyTcp(backend) as network:
        network.rate, network.latency = 10_000, 0.01
        begun = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
        await read(reader, 1000)

        assert asyncio.get_running_loop().time() - begun >= 0.1
        writer.close()
