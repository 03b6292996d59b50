"""simulator/wire.py against a server that does what it should not."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from device_gateway.simulator import wire

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@asynccontextmanager
async def answering(answer):
    """A server that reads the head of a request, answers these bytes and hangs up."""
    heads = []

    async def handle(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x", heads


async def frames_of(stream):
    async with answering(UPGRADE + stream) as (url, _):
        socket = await wire.connect(url, {})
        messages = [message async for message in socket.messages()]
        socket.drop()
    return messages, socket.faults


async def test_the_request_has_the_headers_of_the_firmware_in_its_order():
    identity = {"Device-Id": "d", "Client-Id": "c", "Authorization": "Bearer t"}
    async with answering(UPGRADE) as (url, heads):
        socket = await wire.connect(url, {**identity, "Protocol-Version": "1"})
        socket.drop()

    lines = heads[0].decode().splitlines()
    assert lines[:2] == ["GET /x HTTP/1.1", "Host: 127.0.0.1"]
    assert [line.split(":")[0] for line in lines[2:-1]] == [
        "Authorization",
        "Client-Id",
        "Connection",
        "Device-Id",
        "Protocol-Version",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
    ]


@pytest.mark.parametrize(
    ("stream", "messages", "fault"),
    [
        (b"\x81\x02hi", [(1, b"hi")], None),
        (b"\x01\x01h\x80\x01i", [(1, b"hi")], None),
        (b"\x81\x7e\x00\x02hi", [(1, b"hi")], None),
        (b"\x81\x82\0\0\0\0hi", [(1, b"hi")], "a masked frame"),
        (b"\xc1\x02hi", [(1, b"hi")], "a frame with an RSV bit"),
        (b"\x01\x01h\x81\x01x\x80\x01i", [(1, b"hi")], "a new data frame inside"),
        (b"\x09\x00", [(9, b"")], "a control frame"),
        (b"\x89\x7e\x00\x7e" + bytes(126), [(9, bytes(126))], "a control frame"),
        (b"\x81\x05hi", [], None),
    ],
)
async def test_frames_are_read_and_judged(stream, messages, fault):
    found, faults = await frames_of(stream)

    assert found == messages
    assert len(faults) == (fault is not None)
    assert all(f.startswith(fault) for f in faults)


async def test_an_extension_or_a_subprotocol_in_the_answer_is_a_fault():
    head = UPGRADE[:-2] + b"Sec-WebSocket-Extensions: x\r\nSec-WebSocket-Protocol: y\r\n\r\n"
    async with answering(head) as (url, _):
        socket = await wire.connect(url, {})
        socket.drop()

    assert socket.faults == [
        "an extension that nobody asked for",
        "a subprotocol that nobody asked for",
    ]


async def test_no_101_and_no_answer_are_errors():
    async with answering(b"HTTP/1.1 302 Found\r\n\r\n") as (url, _):
        with pytest.raises(wire.WireError, match="302"):
            await wire.connect(url, {})
    with pytest.raises(wire.WireError, match="no answer"):
        await wire.connect(url, {})


@pytest.mark.parametrize("url", ["no-scheme", "wss://gw/path?x=a:b:", "ws://gw:80a/"])
def test_a_url_that_the_firmware_misreads_is_a_crash_or_is_read(url):
    if url.startswith("wss"):
        assert wire.read_url(url).port == 443
        return
    with pytest.raises(wire.WireError, match="crash"):
        wire.read_url(url)


async def test_more_than_the_device_can_send_is_refused():
    async with answering(UPGRADE) as (url, _):
        socket = await wire.connect(url, {})
        with pytest.raises(wire.WireError, match="65,535"):
            socket.send(wire.BINARY, bytes(70_000))
        socket.send(wire.BINARY, bytes(300))
        socket.drop()
