"""One simulated ESP32: boots, wakes, talks, and remembers every rule that the gateway broke."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from device_gateway.protocol import pack_binary
from device_gateway.simulator import wire
from device_gateway.simulator.rules import Rules, ota_faults

HELLO_SECONDS: Final = 10.0
FRAME_SECONDS: Final = 0.06
_OPUS: Final = bytes.fromhex("fcfffe")  # a frame of silence (RFC 6716: stereo CELT, DTX)


class Disconnected(Exception):
    """The connection ended while the device waited for something."""


class NotAdmitted(Exception):
    """The gateway wants to be told first; `code` is what the device speaks."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"not admitted: the device speaks {code}")


@dataclass(slots=True)
class _Turn:
    words: str
    answer: asyncio.Future[str]
    understood: bool = False
    sentences: list[str] = field(default_factory=list)


class Device:
    """
    Boot with `boot`, open a conversation with `wake`, talk with `say`, end it with `sleep`.

    `faults` must stay empty; `notices` are the quiet ones (their params), `alerts` the visible
    ones, `spoken` every sentence it was given to say, the greeting included.
    """

    def __init__(
        self,
        ota_url: str,
        mac: str,
        *,
        mode: str = "auto",
        version: int = 1,
        firmware: str = "2.0.5",
        audio: bool = False,
        hello_seconds: float = HELLO_SECONDS,
    ) -> None:
        self.ota_url = ota_url
        self.mac = mac
        self.client = str(uuid.uuid5(uuid.NAMESPACE_OID, mac))  # a real one keeps a random one
        self.firmware = firmware
        self.version = version
        self.rules = Rules(mode=mode)
        self.nvs: dict[str, str] = {}
        self.notices: list[dict[str, Any]] = []
        self.alerts: list[dict[str, str]] = []
        self.spoken: list[str] = []
        self.disconnects = 0
        self._audio = audio
        self._hello_seconds = hello_seconds
        self._socket: wire.Socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._turn: _Turn | None = None
        self._greeted = asyncio.Event()
        self._gone = asyncio.Event()
        self._news = asyncio.Condition()

    @property
    def faults(self) -> list[str]:
        """Every rule that was broken, in words."""
        return [*self.rules.faults, *(self._socket.faults if self._socket else ())]

    @property
    def connected(self) -> bool:
        """Whether it has a conversation open."""
        return self._socket is not None and not self._gone.is_set()

    async def boot(self) -> None:
        """
        Ask where to go, and store it. A reboot forgets all but that.

        Raises:
            NotAdmitted: the answer asks for activation.
            WireError: no useful answer.
        """
        status, body = await wire.post(self.ota_url, self._identity(), self._report())
        if status != 200:
            raise wire.WireError(f"the OTA answer has status {status}")
        try:
            answer = json.loads(body)
        except ValueError:
            raise wire.WireError("the OTA answer is not JSON") from None
        self.rules.faults += ota_faults(answer)
        match answer:
            case {"activation": {"code": str(code)}}:
                raise NotAdmitted(code)
            case {"websocket": {"url": str(), "token": str()} as section}:
                self.nvs = dict(section)
            case {"websocket": _} | {"activation": _}:
                raise wire.WireError("the OTA answer lacks websocket.url, token or activation.code")
            case _:
                raise wire.WireError("neither websocket nor activation: the device takes MQTT")

    async def activated(self) -> bool:
        """Ask `/activate` once, as a device does every 3 s while it speaks its code."""
        status, _ = await wire.post(f"{self.ota_url}activate", self._identity(), {})
        return status == 200

    async def wake(self) -> None:
        """Open a conversation: connect, hello both ways, listen.

        Raises:
            WireError, Disconnected: as a real one would show an error.
        """
        if not self.nvs:
            await self.boot()
        self.rules.connecting()
        self._greeted.clear()
        self._gone.clear()
        headers = {"Authorization": f"Bearer {self.nvs['token']}", **self._identity()}
        headers["Protocol-Version"] = str(self.version)
        previous, self._socket = self._socket, await wire.connect(self.nvs["url"], headers)
        self.rules.faults += previous.faults if previous else ()
        self._tasks = [asyncio.create_task(self._read(self._socket))]
        self._say(self._hello())
        try:
            await self._or_gone(self._greeted.wait(), self._hello_seconds)
        except TimeoutError:
            raise wire.WireError(f"no hello within {self._hello_seconds:g} s") from None
        self.rules.state = "listening"
        self._say({"type": "listen", "state": "start", "mode": self.rules.mode})
        if self._audio:
            self._tasks.append(asyncio.create_task(self._stream(self._socket)))

    async def say(self, words: str, seconds: float = 10.0) -> str:
        """Say something, give back the answer.

        Raises:
            Disconnected: the connection ended before the answer did.
            TimeoutError: no whole answer in time.
        """
        turn = self._turn = _Turn(words, asyncio.get_running_loop().create_future())
        self._say({"type": "listen", "state": "detect", "text": words})
        await self._or_gone(turn.answer, seconds)
        return turn.answer.result()

    def speak(self, frames: int) -> None:
        """Manual mode: hold the button for so many frames of audio, then let go."""
        self._say({"type": "listen", "state": "start", "mode": self.rules.mode})
        self.rules.state = "listening"
        for _ in range(frames):
            self._send_audio()
        self.rules.state = "idle"
        self._say({"type": "listen", "state": "stop"})

    def abort(self) -> None:
        """Interrupt the answer."""
        self._say({"type": "abort", "reason": "wake_word_detected"})

    def send_raw(self, text: str) -> None:
        """Send any text, for tests of the other side."""
        assert self._socket is not None
        self._socket.send(wire.TEXT, text.encode())

    async def until(self, holds: Any, seconds: float = 30.0) -> None:
        """Wait until `holds()` is true, looking again after every message that arrives."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(holds)

    async def gone(self, seconds: float = 30.0) -> None:
        """Wait until the gateway has ended the conversation."""
        async with asyncio.timeout(seconds):
            await self._gone.wait()

    async def sleep(self) -> None:
        """End the talk: TCP ends, without a Close frame."""
        if self._socket:
            self._socket.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self.rules.state = "idle"
        self._gone.set()

    async def _or_gone(self, what: Any, seconds: float) -> None:
        waited = asyncio.ensure_future(what)
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait([waited, gone], return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                raise Disconnected(f"{self.mac} lost its connection")
        finally:
            gone.cancel()
            waited.cancel()
            await asyncio.wait([gone, waited])

    async def _read(self, socket: wire.Socket) -> None:
        async for opcode, payload in socket.messages():
            if opcode == wire.CLOSE:  # no reply, no TCP close of its own
                break
            self._take(socket, opcode, payload)
            async with self._news:
                self._news.notify_all()
        self.rules.state = "idle"
        self.disconnects += 1
        self._gone.set()

    def _take(self, socket: wire.Socket, opcode: int, payload: bytes) -> None:
        if opcode == wire.PING:
            socket.send(wire.PONG, payload)
        elif opcode == wire.BINARY:
            self.rules.binary(self.version, payload)
        elif opcode == wire.TEXT:
            message = self.rules.text(payload)
            if message is not None:
                self._act(message)

    def _act(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "hello"}:
                self._greeted.set()
            case {"type": "stt" | "tts"}:
                self._speak(message)
            case {"type": "alert", "status": status, "message": text, "emotion": emotion}:
                self.alerts.append({"status": status, "message": text, "emotion": emotion})
            case {"type": "mcp", "payload": payload}:
                self._mcp(payload)

    def _speak(self, message: dict[str, Any]) -> None:
        turn = self._turn
        match message:
            case {"type": "stt", "text": words} if turn and words == turn.words:
                turn.understood = True
            case {"type": "tts", "state": "sentence_start", "text": sentence}:
                self.spoken.append(sentence)
                if turn and turn.understood:
                    turn.sentences.append(sentence)
            case {"type": "tts", "state": "stop"} if turn and turn.understood:
                self._turn = None
                if not turn.answer.done():
                    turn.answer.set_result("".join(turn.sentences))

    def _mcp(self, payload: dict[str, Any]) -> None:
        method = payload["method"]
        if method == "notifications/config_changed":
            self.notices.append(payload["params"])
        if method.startswith("notifications"):
            return
        if method == "initialize":
            server = {"name": "simulated", "version": self.firmware}
            answer = (
                f'"result":{json.dumps({"protocolVersion": "2024-11-05", "serverInfo": server})}'
            )
        else:  # no code, and the text as it is: what the firmware really sends
            answer = f'"error":{{"message":"Method not implemented: {method}"}}'
        body = f'{{"jsonrpc":"2.0","id":{payload["id"]},{answer}}}'
        self.send_raw(f'{{"session_id":"{self.rules.session}","type":"mcp","payload":{body}}}')

    async def _stream(self, socket: wire.Socket) -> None:
        while not self._gone.is_set():
            if self.rules.state == "listening":
                self._send_audio()
                with contextlib.suppress(ConnectionError):
                    await socket.writer.drain()
            await asyncio.sleep(FRAME_SECONDS)

    def _send_audio(self) -> None:
        assert self._socket is not None
        self._socket.send(wire.BINARY, pack_binary(self.version, _OPUS))

    def _say(self, message: dict[str, Any]) -> None:
        if message["type"] != "hello":
            message = {"session_id": self.rules.session, **message}
        self.send_raw(json.dumps(message, ensure_ascii=False))

    def _identity(self) -> dict[str, str]:
        return {"Client-Id": self.client, "Device-Id": self.mac}

    def _hello(self) -> dict[str, Any]:
        audio = {"format": "opus", "sample_rate": 16000, "channels": 1, "frame_duration": 60}
        return {
            "type": "hello",
            "version": self.version,
            "features": {"mcp": True, "glyph_push": False},
            "transport": "websocket",
            "audio_params": audio,
        }

    def _report(self) -> dict[str, Any]:
        return {
            "version": 2,
            "language": "zh-CN",
            "mac_address": self.mac,
            "uuid": self.client,
            "chip_model_name": "esp32s3",
            "application": {"name": "xiaozhi", "version": self.firmware},
            "board": {"type": "simulated", "mac": self.mac},
        }
