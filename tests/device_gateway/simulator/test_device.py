"""simulator/device.py against gateways that are none: a sentence each, never a traceback."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from device_gateway.simulator import Device, mac, simulate
from device_gateway.simulator.wire import WireError

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@asynccontextmanager
async def answering(answer, *, hang_up=True):
    """A server that answers every request with these bytes, and hangs up or stays silent."""
    over = asyncio.Event()

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not hang_up:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            over.set()


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (b"", "no answer from"),
        (b"garbage\r\n\r\n", "no answer from"),
        (b"HTTP/1.1 500 No\r\n\r\n", "status 500"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "not JSON"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "neither websocket nor activation"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"activation":{}}', "lacks"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"websocket":"ws://"}', "lacks"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"websocket":{"url":"ws://x/"}}', "lacks"),
    ],
)
async def test_an_answer_at_boot_that_is_none_is_a_problem_with_a_name(answer, rule):
    async with answering(answer) as address:
        outcome = await simulate(f"http://{address}/", devices=1, turns=1, pause=0.01)

    assert rule in outcome.problems[0]


async def test_a_gateway_that_never_says_hello_is_named():
    async with answering(UPGRADE, hang_up=False) as address:
        device = Device(f"http://{address}/", mac(1), hello_seconds=0.1)
        device.nvs = {"url": f"ws://{address}/", "token": "t"}
        with pytest.raises(WireError, match=r"no hello within 0\.1 s"):
            await device.wake()
        await device.sleep()
