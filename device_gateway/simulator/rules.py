"""What a device may be sent, judged more strictly than the firmware does. Pure.

Three verdicts: a *crash* (the firmware would reboot) and a *fault* (the gateway broke the
protocol) both go to `faults`; what a real device drops with a log line is counted in `ignored`.
Source: main/{application,ota,mcp_server,protocols/websocket_protocol}.cc of 78/xiaozhi-esp32.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_TEXT_BYTES: Final = 64 * 1024

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER_BYTES: Final = {2: 16, 3: 4}


@dataclass(slots=True)
class Rules:
    """The state machine of one device as far as messages move it."""

    mode: str = "auto"
    state: str = "idle"
    session: str = ""
    greeted: bool = False
    faults: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def connecting(self) -> None:
        """A new connection: nothing of the last one remains."""
        self.state, self.session, self.greeted = "connecting", "", False

    def text(self, data: bytes) -> dict[str, Any] | None:
        """Judge a text message; gives it back when a device would act on it."""
        if len(data) > MAX_TEXT_BYTES:
            self.faults.append(f"a text of {len(data)} bytes")
        try:
            message = json.loads(data)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.ignored["not JSON with a type"] += 1
            return None
        judge = _JUDGES.get(message["type"])
        if judge is None:
            self.ignored[f"type {message['type']}"] += 1
            return None
        return message if judge(self, message) else None

    def binary(self, version: int, data: bytes) -> None:
        """Judge an audio message."""
        header = _HEADER_BYTES.get(version, 0)
        if len(data) < header:
            self.faults.append(f"crash: binary of {len(data)} bytes, shorter than its header")
        elif header:
            size = int.from_bytes(data[12:16] if version == 2 else data[2:4], "big")
            if size > len(data) - header:
                self.faults.append("crash: payload_size beyond the end of the message")
        if self.state != "speaking":
            self.ignored["audio when not speaking"] += 1

    def _hello(self, message: Mapping[str, Any]) -> bool:
        if self.greeted:
            self.faults.append("a second hello: the next connection will not wait for its own")
            return False
        if not isinstance(message.get("transport"), str):
            self.faults.append("crash: hello without transport")
            return False
        if message["transport"] != "websocket":
            self.faults.append("hello of another transport")
            return False
        session = message.get("session_id", "")
        if not isinstance(session, str) or not _SESSION_ID.fullmatch(session):
            self.faults.append("session_id with characters outside [A-Za-z0-9_-]")
        self.greeted = True
        self.session = str(session)
        return True

    def _tts(self, message: Mapping[str, Any]) -> bool:
        state = message.get("state")
        if state == "start":
            if self.state == "connecting":
                self.ignored["tts start while connecting"] += 1
                return False
            self.state = "speaking"
        elif state == "stop":
            if self.state == "speaking":
                self.state = "idle" if self.mode == "manual" else "listening"
        elif state != "sentence_start" or not isinstance(message.get("text"), str):
            self.ignored["tts of another shape"] += 1
            return False
        return True

    def _stt(self, message: Mapping[str, Any]) -> bool:
        return self._needs(message, "text")

    def _llm(self, message: Mapping[str, Any]) -> bool:
        return self._needs(message, "emotion")

    def _alert(self, message: Mapping[str, Any]) -> bool:
        return self._needs(message, "status", "message", "emotion")

    def _system(self, message: Mapping[str, Any]) -> bool:
        if message.get("command") == "reboot":
            return True
        self.ignored["system that is not reboot"] += 1
        return False

    def _needs(self, message: Mapping[str, Any], *names: str) -> bool:
        if all(isinstance(message.get(name), str) for name in names):
            return True
        self.ignored[f"{message['type']} with a missing field"] += 1
        return False

    def _mcp(self, message: Mapping[str, Any]) -> bool:
        payload = message.get("payload")
        if not isinstance(payload, dict) or payload.get("jsonrpc") != "2.0":
            self.ignored["mcp that is not JSON-RPC 2.0"] += 1
            return False
        method = payload.get("method")
        if not isinstance(method, str) or not isinstance(payload.get("params", {}), dict):
            self.ignored["mcp without a method, or with odd params"] += 1
            return False
        number = payload.get("id")
        if not method.startswith("notifications") and not isinstance(number, int | float):
            self.ignored["mcp without a numeric id"] += 1
            return False
        return True


_JUDGES: Final = {
    "hello": Rules._hello,
    "tts": Rules._tts,
    "stt": Rules._stt,
    "llm": Rules._llm,
    "mcp": Rules._mcp,
    "system": Rules._system,
    "alert": Rules._alert,
}


def ota_faults(answer: object) -> list[str]:
    """What in the answer at boot would make the device reboot, or go elsewhere."""
    if not isinstance(answer, dict):
        return ["the OTA answer is not a JSON object"]
    faults = [fault for name in ("websocket", "mqtt") for fault in _nvs_faults(name, answer)]
    firmware = answer.get("firmware")
    version = firmware.get("version", "") if isinstance(firmware, dict) else ""
    if version and not all(part[:1].isdigit() for part in str(version).split(".")):
        faults.append(f"crash: firmware.version {version!r} has a part that is no number")
    if "mqtt" in answer:
        faults.append("an mqtt section wins over websocket")
    return faults


def _nvs_faults(name: str, answer: Mapping[str, Any]) -> list[str]:
    section = answer.get(name, {})
    if not isinstance(section, dict):
        return [f"{name} is not an object"]
    faults = [f"crash: {name}.{key} is too long for NVS" for key in section if len(key) > 15]
    long = [key for key, text in section.items() if len(str(text).encode()) >= 4000]
    return [*faults, *(f"crash: the value of {name}.{key} is too long for NVS" for key in long)]
