"""A device that is none: what it sends, and what the gateway does about it (attack A39 and kin)."""

import asyncio
import contextlib
import struct

import aiohttp
import pytest

from device_gateway import flood
from device_gateway.simulator import Device, mac
from device_gateway.simulator.wire import WireError, connect
from tests.device_gateway.world import MemoryClient, gateway, settings
from tests.until import until

HELLO = b'{"type":"hello","version":1,"transport":"websocket"}'
TEXT, BINARY, CLOSE = 1, 2, 8
FLOOD = int(flood.MESSAGES.burst) + 30 * int(flood.MESSAGES.rate)  # too much for 30 s, too


@contextlib.asynccontextmanager
async def attacker(tmp_path, hello=True, **given):
    """A gateway, a good device in conversation, and a socket that may send anything."""
    async with gateway(tmp_path, MemoryClient(), **given) as running:
        good, evil = Device(running.ota_url, mac(1)), Device(running.ota_url, mac(2))
        await good.wake()
        await evil.boot()
        token = {"Authorization": f"Bearer {evil.nvs['token']}"}
        identity = {"Device-Id": evil.mac, "Client-Id": evil.client}
        socket = await connect(evil.nvs["url"], {**identity, **token})
        if hello:
            socket.send(TEXT, HELLO)
            await until(lambda: len(running.hub) == 2)
        try:
            yield running, socket
            assert await good.say("still here?") == "echo: still here?"
            assert good.faults == []
        finally:
            socket.drop()
            await good.sleep()


async def closed_with(socket):
    """The code of the close frame; None: cut without one."""
    async with asyncio.timeout(10):
        async for opcode, payload in socket.messages():
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0]
    return None


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [
        (TEXT, b"x" * 2_000, 1009),
        (BINARY, b"x" * 2_000, 1009),
        (TEXT, b'{"type":"\xff\xfe"}', 1007),
        (0x3, b"of no kind", 1002),
        (0x41, b"compressed, though nobody agreed to it", 1002),
    ],
)
async def test_a39_frames_that_are_none_end_the_connection_and_no_other(
    tmp_path, opcode, payload, code
):
    async with attacker(tmp_path, limits={"message_bytes": 1024}) as (running, socket):
        socket.send(opcode, payload)
        assert await closed_with(socket) == code
        await until(lambda: len(running.hub) == 1)


async def test_a39_compression_that_a_device_offers_is_not_agreed_to(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        headers = {
            "Device-Id": device.mac,
            "Client-Id": device.client,
            "Authorization": f"Bearer {device.nvs['token']}",
        }
        async with http.ws_connect(device.nvs["url"], headers=headers, compress=15) as ws:
            assert ws.compress == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 60_000,
        b'{"type":"mcp","payload":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
        b'{"type":"listen","state":"detect","text":' + b"1" * 5_000 + b"}",
        b'{"type":"hello","transport":"websocket","version":1e999}',
        b'{"type":"\\ud800"}',
        b'{"type":"__class__"}',
        b'{"__proto__":{"type":"hello"}}',
        b"\x00\x01\x02",
    ],
)
async def test_a39_deep_or_broken_json_is_counted_and_nothing_else(tmp_path, raw):
    async with attacker(tmp_path) as (running, socket):
        socket.send(TEXT, raw)
        counted = running.metrics.messages
        await until(
            lambda: (
                counted.labels("malformed")._value.get() + counted.labels("unknown")._value.get()
            )
        )
        assert len(running.hub) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"server","action":"restart","content":{"secret":""}}',
        b'{"type":"server","action":"update_config","content":{"secret":""}}',
        b'{"type":"system","command":"reboot"}',
        b'{"type":"alert","status":"info","message":"hello","emotion":"happy"}',
        b'{"type":"tts","state":"start"}',
    ],
)
async def test_a39_what_only_a_server_says_means_nothing_from_a_device(tmp_path, raw):
    async with attacker(tmp_path) as (running, socket):
        socket.send(TEXT, raw)
        await until(lambda: running.metrics.messages.labels("unknown")._value.get())
        assert (len(running.hub), running.draining) == (2, False)


async def test_a39_a_flood_of_messages_is_cut_and_counted(tmp_path):
    async with attacker(tmp_path) as (running, socket):
        with contextlib.suppress(ConnectionError):
            for _ in range(FLOOD):
                socket.send(BINARY, b"x" * 60)
        await until(lambda: len(running.hub) == 1)
        assert running.metrics.closed.labels("flood")._value.get() == 1


async def test_a39_a_flood_before_the_hello_is_cut_too(tmp_path):
    async with attacker(tmp_path, hello=False) as (running, socket):
        with contextlib.suppress(ConnectionError):
            for _ in range(FLOOD):
                socket.send(TEXT, b"{}")
        assert await closed_with(socket) is None
        assert len(running.hub) == 1


async def test_a39_a_flood_of_turns_is_cut_before_it_costs_a_provider_much(tmp_path):
    async with attacker(tmp_path) as (running, socket):
        with contextlib.suppress(ConnectionError):
            for _ in range(int(flood.TURNS.burst) + 100):
                socket.send(TEXT, b'{"type":"listen","state":"detect","text":"hi"}')
        await until(lambda: len(running.hub) == 1)
        assert running.metrics.closed.labels("flood")._value.get() == 1


async def test_a6_a_web_page_opens_no_conversation(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        headers = {
            "Device-Id": device.mac,
            "Client-Id": device.client,
            "Authorization": f"Bearer {device.nvs['token']}",
            "Origin": "http://evil.example",
        }
        with pytest.raises(WireError, match="403"):
            await connect(device.nvs["url"], headers)


async def test_a6_a_name_that_was_made_to_point_here_is_not_answered_to(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        statuses = {}
        for host in ("evil.example", "evil.example:8001", "[", "127.0.0.1:1", "localhost", "[::1]"):
            headers = {"Host": host, "Content-Type": "application/json"}
            for method, path in (("GET", "/sessions"), ("POST", "/notices")):
                async with http.request(
                    method, running.admin_url + path, headers=headers, data=b'{"message":"m"}'
                ) as answer:
                    statuses.setdefault(answer.status, set()).add(host)

    assert statuses == {
        403: {"evil.example", "evil.example:8001", "["},
        200: {"127.0.0.1:1", "localhost", "[::1]"},
    }


async def test_a6_what_operators_ask_for_cannot_be_framed_cached_or_read_across(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        for path in ("/healthz", "/sessions", "/metrics", "/nothing"):
            async with http.get(running.admin_url + path) as answer:
                headers = answer.headers
                assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
                assert headers["X-Content-Type-Options"] == "nosniff"
                assert not [name for name in headers if name.lower().startswith("access-control")]
                assert "Set-Cookie" not in headers


async def test_a39_a_token_is_for_its_device_its_client_and_its_time(tmp_path):
    now = [1_700_000_000.0]
    async with gateway(tmp_path, MemoryClient(), clock=lambda: now[0]) as running:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        token = {"Authorization": f"Bearer {device.nvs['token']}"}
        for stolen in (
            {"Device-Id": mac(2), "Client-Id": device.client},
            {"Device-Id": device.mac, "Client-Id": device.client + "x"},
            {"Device-Id": device.mac + "x", "Client-Id": device.client[:-1]},
        ):
            with pytest.raises(WireError, match="401"):
                await connect(device.nvs["url"], {**stolen, **token})
        now[0] += 31 * 86_400
        own = {"Device-Id": device.mac, "Client-Id": device.client}
        with pytest.raises(WireError, match="401"):
            await connect(device.nvs["url"], {**own, **token})


def test_a22_no_secret_of_the_gateway_is_in_its_settings_when_shown(tmp_path):
    made = settings(tmp_path, admin_token="SECRET-CANARY-1", token_key="SECRET-CANARY-2")

    assert "SECRET-CANARY" not in f"{made!r} {made} {made.model_dump()!r}"
