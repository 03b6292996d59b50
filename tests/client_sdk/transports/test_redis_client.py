"""What is said of trouble with a Redis: what it is, and what to do about it."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    TimeoutError,
    TryAgainError,
)

from client_sdk.transports import redis_client as clients
from client_sdk.transports.redis_client import close_client, redis_client, words_of

_VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MovedError("7 10.0.0.2:6379"), "a cluster is written redis+cluster://"),
        (AskError("7 10.0.0.2:6379"), "the slot is being moved, nothing was run"),
        (TryAgainError("Multiple keys"), "the slot is being moved, nothing was run"),
        (ClusterDownError("The cluster is down"), "nothing was run (The cluster is down)"),
        (ConnectionError(_VERIFY + "self-signed certificate"), "?ssl_ca_certs=FILE"),
        (ConnectionError(_VERIFY + "certificate has expired"), "issue a new one"),
        (ConnectionError(_VERIFY + "Hostname mismatch, it is not valid"), "connect by a name"),
        (ConnectionError(_VERIFY + "IP address mismatch, it is not"), "connect by a name"),
        (ConnectionError("[SSL: WRONG_VERSION_NUMBER]"), "does not speak TLS there"),
        (ConnectionError("tlsv13 alert certificate required"), "?ssl_certfile=FILE"),
        (OSError("disk"), "disk"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
def test_an_error_says_what_to_do(error: Exception, words: str) -> None:
    assert words_of(error).endswith(words) or words in words_of(error)


@pytest.mark.parametrize(
    ("error", "url", "advised"),
    [
        (TimeoutError("Timeout reading"), "rediss://a", True),
        (ConnectionError("Connection closed by server."), "rediss+cluster://a:1", True),
        (ConnectionError("Connection closed by server."), "redis://a", False),
        (ConnectionError("Connect call failed"), "rediss://a", False),
    ],
)
def test_a_silence_at_the_first_words_by_tls_is_perhaps_a_wish_for_a_certificate(
    error: Exception, url: str, advised: bool
) -> None:
    assert ("?ssl_certfile=FILE" in words_of(error, url)) is advised


async def _pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The answer of a server, to whatever it is asked."""
    while line := await reader.readline():
        if line.startswith(b"*"):
            writer.write(b"+PONG\r\n")
    writer.close()


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_close_that_is_cancelled_closes_all_the_same(steps: int) -> None:
    server = await asyncio.start_server(_pong, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = redis_client(f"redis://127.0.0.1:{port}", protocol=2)
        await client.ping()
        (line,) = client.connection_pool._available_connections
        closing = asyncio.ensure_future(close_client(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        assert not line.is_connected


async def test_what_hangs_or_fails_while_it_is_closed_keeps_nobody_else_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(**_: object) -> None:
        await asyncio.Event().wait()

    async def fail(**_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(clients, "_CLOSING", 0.5)
    async with await asyncio.start_server(_pong, "127.0.0.1") as server:
        hosts = ",".join([f"127.0.0.1:{server.sockets[0].getsockname()[1]}"] * 3)
        client = redis_client(f"redis+sentinel://{hosts}/ours", protocol=2)
        failing, *others = client.connection_pool.sentinel_manager.sentinels
        lines = []
        for each in (failing, *others):
            await each.ping()
            lines += each.connection_pool._available_connections
        monkeypatch.setattr(failing, "aclose", fail)
        monkeypatch.setattr(client, "aclose", hang)

        closing = asyncio.ensure_future(close_client(client))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])

        assert [line.is_connected for line in lines] == [True, False, False]
        await failing.connection_pool.disconnect()
