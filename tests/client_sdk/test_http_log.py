from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from client_sdk.http_log import http_log

HTTP_LOG = http_log("test")


async def test_bytes_that_are_no_request_are_answered_and_logged_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    runner = web.AppRunner(web.Application(), logger=HTTP_LOG, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nB\x01d: y\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(200), 10)
        writer.close()
    finally:
        await runner.cleanup()

    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    (record,) = [record for record in caplog.records if record.name == HTTP_LOG.name]
    assert record.getMessage().startswith("no request: ")
    assert record.exc_info is None
    assert "\n" not in record.getMessage()


def test_what_is_our_own_fault_keeps_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError("bug")
    except RuntimeError:
        HTTP_LOG.exception("Error handling request")

    assert caplog.records[-1].exc_info is not None
