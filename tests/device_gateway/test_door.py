"""door.py: who connects and says nothing, or says it slowly, at the listeners of a gateway."""

import asyncio
import contextlib

import pytest

from client_sdk.listening import Bounds
from device_gateway import door
from tests.device_gateway.world import MemoryClient, gateway
from tests.until import until


async def half_sent(address, text):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text)
    return reader, writer


async def test_a39_half_sent_requests_are_gone_in_time_at_both_listeners(tmp_path, monkeypatch):
    async with gateway(tmp_path, MemoryClient()) as running:
        running.doors.connections.bounds = Bounds(1000, head=0.3)
        texts = (b"", b"GET /xiaozhi/v1/ HTTP/1.1\r\nHost: a\r\n", b"POST /noti")
        for address in (running.address, running.admin_address):
            attackers = [await half_sent(address, text) for text in texts * 10]
            for reader, _ in attackers:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 10) == b""
            for _, writer in attackers:
                writer.close()

        assert running.doors.connections.cut == 60


@pytest.mark.parametrize("path", ["/xiaozhi/ota/", "/notices"])
async def test_a39_a_body_that_does_not_come_is_not_waited_for(tmp_path, monkeypatch, path):
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    async with gateway(tmp_path, MemoryClient()) as running:
        address = running.admin_address if path == "/notices" else running.address
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{{"
        reader, writer = await half_sent(address, head.encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408")


async def test_a39_one_address_has_its_share_of_the_sockets(tmp_path):
    limits = {"connections_per_address": 3}
    async with gateway(tmp_path, MemoryClient(), limits=limits) as running:
        kept = [await half_sent(running.address, b"") for _ in range(3)]
        await until(lambda: len(running.doors.connections) == 3)
        reader, writer = await half_sent(running.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        for _, each in [*kept, (reader, writer)]:
            each.close()


async def test_a14_a_compressed_body_is_not_unfolded(tmp_path):
    """A kilobyte that would be megabytes; the gateway takes it for what it is, no JSON."""
    import gzip

    bomb = gzip.compress(b"[" + b" " * 5_000_000 + b"]")
    async with gateway(tmp_path, MemoryClient()) as running:
        head = (
            "POST /xiaozhi/ota/ HTTP/1.1\r\nHost: a\r\nDevice-Id: d\r\nClient-Id: c\r\n"
            f"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        )
        reader, writer = await half_sent(running.address, head.encode() + bomb)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"websocket" in answer
