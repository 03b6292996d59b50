"""What other centers ask for: not in the documentation, and not for tokens."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from client_sdk.records import Position, pack
from config_center import peers
from config_center.api.context import Call, answer
from config_center.api.route import BYTES, Parameter, Route
from config_center.journal_tables import frames_after
from config_center.problems import invalid

_PAGE_ROWS = 500
_PAGE_BYTES = 4 * 1024 * 1024  # and one change more
_WHICH = (Parameter("ns", "a namespace"), Parameter("above", "EPOCH-REVISION"))


async def get_rows(call: Call) -> web.Response:
    """
    This center's history of a namespace above a position, oldest first, bodies and all: a page of
    it. Whoever asks goes on above the last row, until there is none.
    """
    try:
        above = Position.parse(call.query("above") or "")
    except ValueError as error:
        raise invalid(str(error), parameter="above") from error
    registry = call.service.registry
    ns = call.query("ns") or ""
    page = partial(frames_after, ns=ns, after=above, limit=_PAGE_ROWS, size=_PAGE_BYTES)
    return web.Response(body=pack(await registry.journal.transact(page)), content_type=BYTES)


async def list_known(call: Call) -> web.Response:
    """The names of all namespaces that this center has history of."""
    return answer(sorted(await call.service.registry.journal.namespaces()))


PEER_ROUTES = (
    Route("GET", peers.ROWS, "peer", "History above a position", get_rows, parameters=_WHICH),
    Route("GET", peers.NAMESPACES, "peer", "Names that are used", list_known),
)
