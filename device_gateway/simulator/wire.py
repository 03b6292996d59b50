"""The device's side of HTTP and WebSocket, on bare streams.

Not on a WebSocket library, because a library repairs and hides what an ESP32 would choke on: it
answers Close frames, offers extensions, sorts headers its own way. Header order, the Host without
a port and single masked frames are those of the firmware (78/esp-ml307, src/web_socket.cc).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

HANDSHAKE_SECONDS: Final = 10.0
MAX_HEADER_BYTES: Final = 16 * 1024

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_URL: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[^/:?]+)(?::(?P<port>[^/?]*))?(?P<path>.*)"
)


_NO_ANSWER: Final = (  # what reading a peer that does not speak HTTP ends in
    OSError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    ValueError,
    IndexError,
)


class WireError(Exception):
    """The connection is not to be had, or not this way."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL as the firmware reads it: IPv4 or a name, a port of digits."""

    host: str
    port: int
    path: str


def read_url(url: str) -> Target:
    """Split the URL; raises WireError where std::stoi would throw and the device reboot."""
    match = _URL.fullmatch(url)
    if match is None:
        raise WireError(f"crash: {url!r} is not a URL that the device can read")
    port = match["port"] or ("443" if match["scheme"] in ("wss", "https") else "80")
    if not (port.isascii() and port.isdigit()):
        raise WireError(f"crash: the port of {url!r} is not a number")
    return Target(match["host"], int(port), match["path"] or "/")


async def post(url: str, headers: Mapping[str, str], body: Any) -> tuple[int, bytes]:
    """
    POST JSON, give status and body; one connection per request, as the firmware does.

    Raises:
        WireError: no answer in HTTP within 10 s.
    """
    target = read_url(url)
    data = json.dumps(body).encode()
    fields = {
        "Host": f"{target.host}:{target.port}",
        **headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        "Connection": "close",
    }
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await _ask(target, _head(f"POST {target.path} HTTP/1.1", fields) + data)
    except _NO_ANSWER as broken:
        raise WireError(f"no answer from {url}: {type(broken).__name__}") from broken


async def _ask(target: Target, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(None, 2)[1]), await reader.read()
    finally:
        writer.close()


def _head(first: str, fields: Mapping[str, str]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(slots=True)
class Socket:
    """An open WebSocket; what the server did wrong on the wire is in `faults`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    faults: list[str] = field(default_factory=list)

    def send(self, opcode: int, payload: bytes) -> None:
        """One whole masked frame."""
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 0x10000:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            raise WireError("the device never sends more than 65,535 bytes at once")
        key = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
        self.writer.write(head + mask + masked)

    def drop(self) -> None:
        """End the TCP connection without a Close frame: how a device ends a talk."""
        self.writer.close()

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """Whole messages and control frames, until TCP ends; fragments are put together."""
        parts: list[bytes] = []
        kind = 0
        while True:
            frame = await self._frame()
            if frame is None:
                return
            fin, opcode, payload = frame
            if opcode >= CLOSE:
                yield opcode, payload
                continue
            if opcode and parts:
                self.faults.append("a new data frame inside a fragmented message")
                continue
            kind = opcode or kind
            parts.append(payload)
            if fin:
                yield kind, b"".join(parts)
                parts = []

    async def _frame(self) -> tuple[bool, int, bytes] | None:
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            if second & 0x80:
                self.faults.append("a masked frame")
                await self.reader.readexactly(4)
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            return None
        if first & 0x70:
            self.faults.append("a frame with an RSV bit: compressed data is garbage to a device")
        opcode = first & 0x0F
        if opcode >= CLOSE and (size > 125 or not first & 0x80):
            self.faults.append("a control frame that is fragmented or longer than 125 bytes")
        return bool(first & 0x80), opcode, payload


async def connect(url: str, headers: Mapping[str, str]) -> Socket:
    """
    Upgrade with the firmware's headers in the firmware's order (a std::map: by name).

    Raises:
        WireError: no `HTTP/1.1 101` within 10 s.
    """
    target = read_url(url)
    key = base64.b64encode(os.urandom(16)).decode()
    fields = {
        **headers,
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        "Upgrade": "websocket",
    }
    ordered = {"Host": target.host, **{name: fields[name] for name in sorted(fields)}}
    writer = None
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            reader, writer = await asyncio.open_connection(target.host, target.port, limit=1 << 20)
            writer.write(_head(f"GET {target.path} HTTP/1.1", ordered))
            head = await reader.readuntil(b"\r\n\r\n")
        if b"HTTP/1.1 101" not in head:
            raise WireError(f"no 101 but {head.splitlines()[0].decode(errors='replace')!r}")
        return Socket(reader, writer, upgrade_faults(head))
    except BaseException as broken:
        if writer is not None:
            await _close(writer)
        if isinstance(broken, _NO_ANSWER):
            raise WireError(f"no answer from {url}: {type(broken).__name__}") from broken
        raise


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def upgrade_faults(head: bytes) -> list[str]:
    """What the answer to the upgrade may not hold."""
    names = [line.split(b":")[0].strip().lower() for line in head.splitlines()[1:]]
    faults = []
    if b"sec-websocket-extensions" in names:
        faults.append("an extension that nobody asked for")
    if b"sec-websocket-protocol" in names:
        faults.append("a subprotocol that nobody asked for")
    return faults
