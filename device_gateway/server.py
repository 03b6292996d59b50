"""The gateway: a listener for devices, one for operators, and the sessions between.

Order at a connection, cheapest first, all before the upgrade: no browser, identity (the two ids),
room, their token, admission. A refusal is a plain HTTP status: the device sees no 101 and goes on
at once, where a 101 followed by silence would hold it for ten seconds.

Tasks and who owns them: `Gateway` owns the sweep for idle sessions and the notices; a session's
reading loop is the HTTP handler's; its turn belongs to the `Conversation`. `stop` ends them in
order: no new connections, running answers finish within the drain time, everybody is closed at
once, the listeners go.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, Self

from aiohttp import WSMsgType, web

from device_gateway import admission, ota, providers
from device_gateway.admin import admin_app
from device_gateway.config import Client
from device_gateway.conversation import Conversation
from device_gateway.door import Doors, behind_the_door
from device_gateway.hub import CLOSE_SECONDS, Hub, Link, Live, Memory
from device_gateway.keys import token_key
from device_gateway.metrics import ClientMetrics, Metrics
from device_gateway.notices import Notices
from device_gateway.session import Session
from device_gateway.settings import Settings

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 30.0
MAX_OTA_BYTES: Final = 64 * 1024
_WEBSOCKET: Final = "/xiaozhi/v1/"
_OTA: Final = "/xiaozhi/ota/"
_BURST: Final = 32  # messages of one device before the others get their turn


class Gateway:
    """`async with Gateway(settings, client) as gateway: ...`; the client stays the caller's."""

    def __init__(
        self, settings: Settings, client: Client, clock: Callable[[], float] = time.time
    ) -> None:
        limits = settings.limits
        self.settings = settings
        self.client = client
        self.clock = clock
        self._connections = 0
        self.metrics = Metrics()
        self.metrics.registry.register(ClientMetrics(client.metrics))
        self.hub = Hub(Memory(limits.known_devices, limits.known_days * 86_400))
        self.notices = Notices(self.hub, self.metrics, clock)
        self.draining = False
        self._key = b""
        self.waiting_room = admission.WaitingRoom(b"")
        self._conversations: dict[str, Conversation] = {}
        self.doors = Doors(limits)
        self._tasks: list[asyncio.Task[None]] = []
        self.address = self.admin_address = ("", 0)

    @property
    def url(self) -> str:
        """Where devices connect, as seen from this machine."""
        return f"ws://{self.address[0]}:{self.address[1]}{_WEBSOCKET}"

    @property
    def ota_url(self) -> str:
        """What a device asks at boot."""
        return f"http://{self.address[0]}:{self.address[1]}{_OTA}"

    @property
    def admin_url(self) -> str:
        """The operators' listener."""
        return f"http://{self.admin_address[0]}:{self.admin_address[1]}"

    async def start(self) -> None:
        """
        Declare the modules, open both listeners.

        Raises:
            PortInUse: an address is taken; nothing is left open.
            SettingInvalid: the token key cannot be used.
        """
        given = self.settings.token_key
        self._key = await asyncio.to_thread(
            token_key, given.get_secret_value() if given else None, self.settings.data
        )
        self.waiting_room.key = self._key
        self.client.module(
            "llm",
            build=functools.partial(providers.build_llm, egress=self.settings.egress),
            probe=providers.probe_llm,
            close=providers.close_llm,
            adopt="turn",
        )
        self.notices.follow(self.client)
        try:
            self.address = await self.doors.open(self._device_app(), self.settings.listen)
            self.admin_address = await self.doors.open(admin_app(self), self.settings.admin_listen)
        except BaseException:
            await self.doors.close()
            raise
        self._tasks = [
            asyncio.create_task(self.notices.run(), name="notices"),
            asyncio.create_task(self._sweep(), name="idle sessions"),
        ]

    async def stop(self) -> None:
        """Drain and close; safe to call once whatever happened."""
        self.draining = True
        try:
            await self._let_answers_finish()
            await self.hub.close_all("drain")
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.doors.close()

    async def _let_answers_finish(self) -> None:
        turns = [talk.settle() for talk in self._conversations.values() if talk.in_turn]
        try:
            async with asyncio.timeout(self.settings.limits.drain_seconds):
                await asyncio.gather(*turns)
        except TimeoutError:
            logger.info("some of %d answers were cut: the drain time is over", len(turns))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def failed(self) -> None:
        """Return, or raise, when one of the gateway's own tasks ends: it never should."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _sweep(self) -> None:
        idle = self.settings.limits.idle_seconds
        while True:
            await asyncio.sleep(idle / 10)
            await self.hub.close_idle(time.monotonic() - idle)
            self.hub.memory.forget(self.clock())
            self.metrics.known.set(len(self.hub.memory))

    def _device_app(self) -> web.Application:
        app = behind_the_door(MAX_OTA_BYTES)
        app.router.add_get(_WEBSOCKET, self._connect)
        for path in (_OTA, _OTA.rstrip("/")):
            app.router.add_post(path, self._ota)
            app.router.add_get(path, self._ota_hint)
        app.router.add_post(f"{_OTA}activate", self._activate)
        return app

    # -- at boot --------------------------------------------------------------------------------

    async def _ota(self, request: web.Request) -> web.Response:
        device, client = _identity(request)
        if device is None or client is None:
            # 200, as the stock server says it: anything else makes the device ask ten times.
            return _json({"success": False, "message": "Device-Id and Client-Id are needed"})
        attributes = ota.attributes(_body(await request.read()))
        now = self.clock()
        known = self.hub.memory.see(device, now, attributes)
        answer = ota.answer(known.attributes.get("firmware", ""), now, self._timezone)
        if self._admits(device):
            token = admission.make_token(self._key, client, device, int(now))
            url = ota.websocket_url(self.settings.public_url, request.host, self._host)
            answer["websocket"] = ota.websocket_section(url, token)
        else:
            code = self.waiting_room.code(device, now)
            answer["activation"] = ota.activation_section(device, code)
        return _json(answer)

    async def _activate(self, request: web.Request) -> web.Response:
        device, _ = _identity(request)
        if device is None:
            return web.Response(status=400, text="Device-Id is needed")
        return web.Response(status=200 if self._admits(device) else 202)

    async def _ota_hint(self, request: web.Request) -> web.Response:
        return web.Response(text=f"A device asks here by POST and is sent to {self.url}\n")

    @property
    def _timezone(self) -> int:
        return self.settings.timezone_minutes

    @property
    def _host(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    def _admits(self, device: str) -> bool:
        value = self._unit(device).get("gateway", None)
        admits = admission.admitted(value, device, on_loopback=self.settings.on_loopback)
        if admits:
            self.waiting_room.leave(device)
        return admits

    def _unit(self, device: str) -> Any:
        known = self.hub.memory.get(device)
        return self.client.unit(device, **(known.attributes if known else {}))

    # -- a conversation -------------------------------------------------------------------------

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:  # every browser sends it, and no device
            return self._refuse(403, "origin", "this is no place for web pages")
        device, client = _identity(request)
        if device is None or client is None:
            return self._refuse(400, "identity", "Device-Id and Client-Id are needed")
        if self.draining or self._is_full(device):
            outcome = "draining" if self.draining else "full"
            return self._refuse(503, outcome, "no room now", {"Retry-After": "5"})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not admission.token_holds(self._key, token, client, device, self.clock()):
            return self._refuse(401, "token", "the token is not for this device, or too old")
        if not self._admits(device):
            return self._refuse(403, "unlisted", "this device is not admitted")
        self._connections += 1
        try:
            return await self._serve(request, device, client)
        finally:
            self._connections -= 1

    def _is_full(self, device: str) -> bool:
        """Who has not said hello yet counts too; who comes again takes the place it has."""
        return self._connections >= self.settings.limits.sessions and device not in self.hub

    def _refuse(
        self, status: int, outcome: str, text: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        self.metrics.connections.labels(outcome).inc()
        return web.Response(status=status, text=text, headers=headers)

    async def _serve(self, request: web.Request, device: str, client: str) -> web.WebSocketResponse:
        limits = self.settings.limits
        ws = web.WebSocketResponse(
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=limits.message_bytes,
            compress=False,
        )
        await ws.prepare(request)
        transport = request.transport
        if transport is None:  # gone during the upgrade
            return ws
        known = self.hub.memory.see(device, self.clock())
        session = Session(uuid.uuid4().hex, device, client)
        link = Link(ws, transport, limits.write_buffer_bytes)
        live = Live(session, link, self._unit(device), self.clock(), time.monotonic())
        talk = self._conversation(live)
        try:
            if await self._hello(ws, talk, live):
                await self._enter(live, talk)
                self.notices.welcome(live, known)
                await self._read(ws, talk, live)
        finally:
            await self._leave(live, talk)
        return ws

    def _conversation(self, live: Live) -> Conversation:
        def learned(attributes: dict[str, str]) -> None:
            self.hub.memory.see(live.session.device, self.clock(), attributes)
            live.unit = self._unit(live.session.device)
            self.notices.tell(live)

        seconds = self.settings.limits.turn_seconds
        return Conversation(live, self.client, self.metrics, seconds, learned)

    async def _hello(self, ws: web.WebSocketResponse, talk: Conversation, live: Live) -> bool:
        try:
            async with asyncio.timeout(self.settings.limits.hello_seconds):
                while not live.session.version and await _next(ws, talk):
                    pass
        except TimeoutError:
            self.metrics.connections.labels("no-hello").inc()
            await live.link.close("device")
        return bool(live.session.version) and not ws.closed

    async def _enter(self, live: Live, talk: Conversation) -> None:
        earlier = self.hub.enter(live)
        self._conversations[live.session.id] = talk
        self.metrics.connections.labels("accepted").inc()
        self.metrics.sessions.inc()
        if earlier:  # the device rebooted, and its old socket has not noticed
            await earlier.link.close("replaced")

    async def _read(self, ws: web.WebSocketResponse, talk: Conversation, live: Live) -> None:
        for number in itertools.count():
            if not await _next(ws, talk):
                return
            live.heard = time.monotonic()
            if number % _BURST == 0:
                await asyncio.sleep(0)  # what lies in the buffer is read without a pause

    async def _leave(self, live: Live, talk: Conversation) -> None:
        self.hub.leave(live)
        if self._conversations.pop(live.session.id, None):
            self.metrics.sessions.dec()
            self.metrics.closed.labels(live.link.why).inc()
            self.hub.memory.see(live.session.device, self.clock()).told = live.told
        await talk.close()


async def _next(ws: web.WebSocketResponse, talk: Conversation) -> bool:
    """Take one message; False at the end of the connection."""
    message = await ws.receive()
    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
        return False
    return talk.receive(message.data)


def _identity(request: web.Request) -> tuple[str | None, str | None]:
    headers = request.headers
    return admission.device_id(headers.get("Device-Id")), admission.client_id(
        headers.get("Client-Id")
    )


def _body(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None  # some boards send none; what is not known is not an attribute


def _json(document: dict[str, Any]) -> web.Response:
    return web.json_response(document)


async def serve(
    settings: Settings,
    client: Client,
    stop: asyncio.Event,
    started: Callable[[Gateway], None] = lambda _: None,
) -> None:
    """Run a gateway until `stop` is set; `started` is called once when both listeners are open."""
    async with Gateway(settings, client) as gateway:
        started(gateway)
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(gateway.failed())]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
