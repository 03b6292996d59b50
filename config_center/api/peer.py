"""What other centers ask for: not in the documentation, and not for tokens."""

from __future__ import annotations

import asyncio

from aiohttp import web

from client_sdk.records import Position, pack
from config_center import peers
from config_center.api.context import Call, answer
from config_center.api.route import BYTES, Parameter, Route
from config_center.problems import invalid

_MOST_ROWS = 1_000
_WHICH = (Parameter("ns", "a namespace"), Parameter("above", "EPOCH-REVISION"))


async def get_rows(call: Call) -> web.Response:
    """
    This center's history of a namespace above a position, bodies and all: as much as one adoption
    can bring back. What lies beyond is this center's own to bring back, as orphans.
    """
    try:
        above = Position.parse(call.query("above") or "")
    except ValueError as error:
        raise invalid(str(error), parameter="above") from error
    registry = call.service.registry
    rows = await registry.journal.above(call.query("ns") or "", above, _MOST_ROWS)
    raw = await asyncio.to_thread(lambda: pack(row.encode() for row in rows))
    return web.Response(body=raw, content_type=BYTES)


async def list_known(call: Call) -> web.Response:
    """The names of all namespaces that this center has history of."""
    return answer(sorted(await call.service.registry.journal.namespaces()))


PEER_ROUTES = (
    Route("GET", peers.ROWS, "peer", "History above a position", get_rows, parameters=_WHICH),
    Route("GET", peers.NAMESPACES, "peer", "Names that are used", list_known),
)
