from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from config_center.http_log import HTTP_LOG
from tests.config_center.api.world import center


async def test_bytes_that_are_no_request_are_answered_and_logged_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with center(tmp_path / "data") as opened:
        host, port = opened.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nB\x01d: y\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(200), 10)
        writer.close()

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
