"""The listeners of a gateway, and what stands before every handler behind them.

Whoever connects and says nothing, says it slowly or does not read is cut by the socket's guard
(client_sdk/listening.py). The guard looks away while a request is being answered, so bodies are
read here, whole and in time: a handler would wait for ever for one that comes a byte a minute.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from client_sdk.http_log import http_log
from client_sdk.listening import Bounds, Connections, answering, listen
from device_gateway.errors import PortInUse
from device_gateway.hub import CLOSE_SECONDS
from device_gateway.settings import Limits, address

BODY_SECONDS: Final = 8.0
"""For a body, of 64 KiB at most."""

_UNREAD: Final = 30.0
"""Seconds that a device may be without its Wi-Fi while we have something to say."""

_PACE: Final = 1024
"""Bytes a second that it takes at least; all we send is text."""

_KEEP_ALIVE_SECONDS: Final = 20.0
_LINGER_SECONDS: Final = 1.0  # for what somebody still sends after he was refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def behind_the_door(max_body_bytes: int) -> web.Application:
    """An application without routes whose handlers find the body read."""
    return web.Application(client_max_size=max_body_bytes, middlewares=[_door])


@web.middleware
async def _door(request: web.Request, handler: Handler) -> web.StreamResponse:
    with answering(request):
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.read()  # kept by the request: the handler's own read finds it
        except TimeoutError:
            return web.Response(status=408, text="too slow", headers={"Connection": "close"})
        return await handler(request)


class Doors:
    """All listeners of one gateway; they share its room for connections."""

    def __init__(self, limits: Limits) -> None:
        most = 2 * limits.sessions  # as many again may be on their way in, at boot or refused
        self.connections = Connections(
            Bounds(most, limits.connections_per_address, unread=_UNREAD, pace=_PACE)
        )
        self._runners: list[web.AppRunner] = []
        self._servers: list[asyncio.Server] = []

    async def open(self, app: web.Application, where: str) -> tuple[str, int]:
        """
        Listen; gives host and port as bound.

        Raises:
            PortInUse: the address is taken.
        """
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log("device_gateway"),
            shutdown_timeout=CLOSE_SECONDS,
            auto_decompress=False,  # nothing that is sent to us unfolds in memory
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
        )
        await runner.setup()
        self._runners.append(runner)
        host, port = address(where)
        assert runner.server is not None
        try:
            server = await listen(runner.server, self.connections, host, port, None)
        except OSError as taken:
            if taken.errno != errno.EADDRINUSE:
                raise
            raise PortInUse(f"port {port} is in use: choose another with --listen") from taken
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def close(self) -> None:
        """No new connections, and the end of those there are."""
        self.connections.refuse_more()
        for server in self._servers:
            server.close()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
