"""What a device says and what may be said to it. Pure: no socket, no clock.

Two different attitudes live here on purpose.

*Inbound is lenient.* The stock firmware pastes strings into its JSON unescaped (wake words, MCP
error texts), so a broken message is ordinary weather: it becomes `Malformed` or `Unknown`, is
counted, and the conversation goes on. Nothing a device sends may raise.

*Outbound is strict.* The firmware is C++ on a heap of some hundred kilobytes; what it does with a
message it does not expect ranges from a log line to a reboot. `encode` therefore refuses, as a bug
of ours, whatever a device would drop or choke on: a type it does not know, an `alert` without its
three strings, an MCP payload that is not JSON-RPC, a session id that would break the JSON which the
device builds around it, a text of more than 64 KiB.

Source: 78/xiaozhi-esp32, main/protocols/{protocol,websocket_protocol}.cc, main/application.cc.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import orjson

MAX_TEXT_BYTES: Final = 64 * 1024
"""The firmware has no limit but its heap; nothing we say needs more."""

MAX_SPOKEN_CHARS: Final = 4_000
"""Longest text in one `stt` or `tts` message: 4,000 characters are at most 16 KB of UTF-8."""

SAMPLE_RATE: Final = 24_000
FRAME_MILLISECONDS: Final = 60

Message = dict[str, Any]


class ProtocolFault(ValueError):
    """We were about to send a device something it cannot take: a bug of the gateway."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The device's first message. `version` chooses the framing of binary messages (1, 2 or 3)."""

    version: int = 1
    mcp: bool = False
    frame_milliseconds: int = FRAME_MILLISECONDS


@dataclass(frozen=True, slots=True)
class Listen:
    """`state`: start, stop, detect; `mode`: auto, manual, realtime; `text` only with detect."""

    state: str
    mode: str = "auto"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """The person interrupts the answer."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mcp:
    """A JSON-RPC message of the device's MCP server."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audio:
    """One Opus frame, taken out of its binary framing."""

    opus: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """Valid JSON of a type that means nothing here."""

    type: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not JSON, no type, or a known type with the wrong shape; `why` is for the log."""

    why: str


Inbound = Hello | Listen | Abort | Mcp | Audio | Unknown | Malformed


def parse_text(raw: str) -> Inbound:
    """Read a text message. Never raises."""
    try:
        message = orjson.loads(raw)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return Malformed("not JSON")
    if not isinstance(message, dict):
        return Malformed("not a JSON object")
    kind = message.get("type")
    if not isinstance(kind, str):
        return Malformed("no string `type`")
    parse = _PARSERS.get(kind)
    return parse(message) if parse else Unknown(kind[:32])


def _parse_hello(message: Message) -> Inbound:
    if message.get("transport") != "websocket":
        return Malformed("hello without transport websocket")
    features = message.get("features")
    audio = message.get("audio_params")
    version = message.get("version")
    frame = audio.get("frame_duration") if isinstance(audio, dict) else None
    return Hello(
        version=version if _is_int(version) and version in (1, 2, 3) else 1,
        mcp=isinstance(features, dict) and features.get("mcp") is True,
        frame_milliseconds=frame if _is_int(frame) and 5 <= frame <= 120 else FRAME_MILLISECONDS,
    )


def _parse_listen(message: Message) -> Inbound:
    state, mode, text = message.get("state"), message.get("mode", "auto"), message.get("text", "")
    if state not in ("start", "stop", "detect"):
        return Malformed("listen without a known state")
    if mode not in ("auto", "manual", "realtime"):
        return Malformed("listen with an unknown mode")
    if not isinstance(text, str):
        return Malformed("listen whose text is not a string")
    return Listen(state, mode, text.strip()[:MAX_SPOKEN_CHARS])


def _parse_abort(message: Message) -> Inbound:
    reason = message.get("reason", "")
    return Abort(reason[:64] if isinstance(reason, str) else "")


def _parse_mcp(message: Message) -> Inbound:
    payload = message.get("payload")
    return Mcp(payload) if isinstance(payload, dict) else Malformed("mcp without a payload object")


_PARSERS: Final[dict[str, Callable[[Message], Inbound]]] = {
    "hello": _parse_hello,
    "listen": _parse_listen,
    "abort": _parse_abort,
    "mcp": _parse_mcp,
}


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


# Binary messages: version 1 is a bare Opus frame, 2 and 3 put a header of these shapes before it
# (protocol.h, BinaryProtocol2 and BinaryProtocol3; big-endian).
_HEADER_2: Final = struct.Struct(">HHIII")  # version, type, reserved, timestamp ms, payload size
_HEADER_3: Final = struct.Struct(">BBH")  # type, reserved, payload size
_OPUS: Final = 0


def parse_binary(version: int, data: bytes) -> Inbound:
    """Take the Opus frame out of a binary message. Never raises, never reads past the end."""
    if version == 1:
        return Audio(data)
    header = _HEADER_2 if version == 2 else _HEADER_3
    if len(data) < header.size:
        return Malformed("binary message shorter than its header")
    fields = header.unpack_from(data)
    kind, size = (fields[1], fields[4]) if version == 2 else (fields[0], fields[2])
    if kind != _OPUS:
        return Malformed("binary message that is not Opus")
    if size != len(data) - header.size:
        return Malformed("binary message whose size field is wrong")
    return Audio(data[header.size :])


def pack_binary(version: int, opus: bytes, timestamp: int = 0) -> bytes:
    """Frame one Opus packet for a device that speaks `version`; `timestamp` in milliseconds.

    The size is always that of the payload: the firmware trusts it without looking and would read
    beyond its buffer.

    Raises:
        ProtocolFault: the packet does not fit the size field, or the version does not exist.
    """
    if version == 1:
        return opus
    if version == 2:
        return _HEADER_2.pack(2, _OPUS, 0, timestamp & 0xFFFFFFFF, len(opus)) + opus
    if version != 3 or len(opus) > 0xFFFF:
        raise ProtocolFault(f"an Opus packet of {len(opus)} B does not fit framing {version}")
    return _HEADER_3.pack(_OPUS, 0, len(opus)) + opus


def hello(session: str) -> Message:
    """Answer to the device's hello; it must arrive within 10 s and only once per connection."""
    return {
        "type": "hello",
        "version": 1,
        "transport": "websocket",
        "session_id": session,
        "audio_params": {
            "format": "opus",
            "sample_rate": SAMPLE_RATE,
            "channels": 1,
            "frame_duration": FRAME_MILLISECONDS,
        },
    }


def stt(text: str) -> Message:
    """What was understood; the device shows it as the person's words."""
    return {"type": "stt", "text": text[:MAX_SPOKEN_CHARS]}


def llm(emotion: str) -> Message:
    """The face to show; the firmware ignores any text here."""
    return {"type": "llm", "emotion": emotion}


def tts(state: str, text: str | None = None) -> Message:
    """`start` (device: Speaking), `sentence_start` with text, `stop` (Listening or Idle)."""
    if text is None:
        return {"type": "tts", "state": state}
    return {"type": "tts", "state": state, "text": text[:MAX_SPOKEN_CHARS]}


def alert(status: str, message: str, emotion: str) -> Message:
    """The visible notice: three strings and a vibration sound."""
    return {"type": "alert", "status": status, "message": message, "emotion": emotion}


def system_reboot() -> Message:
    """The only `system` command there is. Costs the device an OTA call and its conversation."""
    return {"type": "system", "command": "reboot"}


def mcp_request(number: int, method: str, params: Mapping[str, Any]) -> Message:
    """A JSON-RPC call to the device's MCP server; the id must be a number."""
    payload = {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}
    return {"type": "mcp", "payload": payload}


def mcp_notification(method: str, params: Mapping[str, Any]) -> Message:
    """The quiet notice: every firmware that knows MCP ignores `notifications/...` silently."""
    payload = {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": dict(params)}
    return {"type": "mcp", "payload": payload}


def encode(message: Message) -> bytes:
    """Make the whole WebSocket text frame (RFC 6455 section 5.2: FIN, unmasked, no RSV bit).

    Encoding once and writing the same bytes to every socket is what makes a broadcast cost one
    send per device.

    Raises:
        ProtocolFault: a device would drop or choke on the message.
    """
    fault = _fault(message)
    if fault:
        raise ProtocolFault(f"{message.get('type')}: {fault}")
    try:
        payload = orjson.dumps(message)
    except orjson.JSONEncodeError as odd:  # half a surrogate pair is a str, and is no UTF-8
        raise ProtocolFault(f"{message['type']}: {odd}") from odd
    if len(payload) > MAX_TEXT_BYTES:
        raise ProtocolFault(f"{message['type']}: {len(payload)} B, {MAX_TEXT_BYTES} allowed")
    return _frame_header(len(payload)) + payload


def _frame_header(size: int) -> bytes:
    if size < 126:
        return bytes((0x81, size))
    if size < 0x10000:
        return struct.pack(">BBH", 0x81, 126, size)
    return struct.pack(">BBQ", 0x81, 127, size)


def _fault(message: Message) -> str | None:
    check = _CHECKS.get(message.get("type", ""))
    if check is None:
        return "no device knows this type"
    session = message.get("session_id")
    if session is not None and not SESSION_ID.fullmatch(session):
        return "a session id may hold only letters, digits, - and _"
    return check(message)


SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _strings(*names: str) -> Callable[[Message], str | None]:
    def check(message: Message) -> str | None:
        missing = [name for name in names if not isinstance(message.get(name), str)]
        return f"needs the string {missing[0]!r}" if missing else None

    return check


def _check_hello(message: Message) -> str | None:
    return None if message.get("transport") == "websocket" else "needs transport websocket"


def _check_tts(message: Message) -> str | None:
    state = message.get("state")
    if state not in ("start", "stop", "sentence_start"):
        return "state must be start, sentence_start or stop"
    if state == "sentence_start" and not isinstance(message.get("text"), str):
        return "sentence_start needs a text"
    return None


def _check_system(message: Message) -> str | None:
    return None if message.get("command") == "reboot" else "the only command is reboot"


def _check_mcp(message: Message) -> str | None:
    payload = message.get("payload")
    if not isinstance(payload, dict) or payload.get("jsonrpc") != "2.0":
        return "the payload must be JSON-RPC 2.0"
    method = payload.get("method")
    if not isinstance(method, str) or not isinstance(payload.get("params", {}), dict):
        return "needs a method and params that are an object"
    if not method.startswith("notifications") and not _is_int(payload.get("id")):
        return "a request needs a numeric id"
    return None


_CHECKS: Final[dict[str, Callable[[Message], str | None]]] = {
    "hello": _check_hello,
    "stt": _strings("text"),
    "llm": _strings("emotion"),
    "tts": _check_tts,
    "mcp": _check_mcp,
    "system": _check_system,
    "alert": _strings("status", "message", "emotion"),
}
