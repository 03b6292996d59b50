"""Who changed what, or tried to: the audit of this center."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from config_center.api.context import Call, answer
from config_center.api.route import LIMIT, Parameter, Route
from config_center.audit.book import Choice
from config_center.audit.entries import OUTCOMES
from config_center.problems import invalid
from config_center.rollouts.book import timestamp

if TYPE_CHECKING:
    from config_center.audit.book import Row

NDJSON = "application/x-ndjson"

_WRITE_DEADLINE = 10.0  # seconds that a reader may take for a page
_EXPORT_WITHIN = 600.0  # seconds; while it runs, what SQLite writes cannot be tidied up
_LARGEST = 2**53 - 1


async def list_audit(call: Call) -> web.StreamResponse:
    """The newest entries first; ``format=ndjson``: an export, oldest first, that proves itself."""
    form = call.query("format") or "json"
    if form not in ("json", "ndjson"):
        raise invalid("format is json or ndjson", parameter="format")
    choice = _choice(call)
    if form == "ndjson":
        return await _export(call, choice)
    limit = call.number("limit", 100, 1, 1000)
    before = None if call.query("after") is None else call.number("after", 0, 1, _LARGEST)
    rows = await call.service.audit.reading.newest(choice, before, limit + 1)
    items = [shown(row) for row in rows[:limit]]
    return answer({"items": items, "next": str(rows[limit - 1].n) if len(rows) > limit else None})


def shown(row: Row) -> dict[str, Any]:
    """An entry for people: times as RFC 3339, and its hash."""
    try:
        plain: dict[str, Any] = orjson.loads(row.raw)
        for name in {"at", "since"} & plain.keys():
            plain[name] = timestamp(plain[name])
    except (ValueError, TypeError, AttributeError, OverflowError):  # somebody edited the file
        plain = {"n": row.n, "event": "unreadable"}
    return {**plain, "hash": row.hash.hex()}


async def _export(call: Call, choice: Choice) -> web.StreamResponse:
    after = call.number("after", 0, 0, _LARGEST)
    headers = {"Content-Type": NDJSON, "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    async with call.service.audit.reading.export(choice, after) as lines:
        with contextlib.suppress(ConnectionResetError, TimeoutError):  # it left, or reads no more
            await response.prepare(call.request)
            async with asyncio.timeout(_EXPORT_WITHIN):
                async for page in lines:
                    await asyncio.wait_for(response.write(page), _WRITE_DEADLINE)
            await response.write_eof()
    return response


def _choice(call: Call) -> Choice:
    outcome = call.query("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        raise invalid(f"outcome is one of {', '.join(OUTCOMES)}", parameter="outcome")
    return Choice(
        namespace=call.query("namespace"),
        actor=call.query("actor"),
        key=call.query("key"),
        outcome=outcome,
        since=_moment(call, "since"),
        until=_moment(call, "until"),
    )


def _moment(call: Call, name: str) -> int | None:
    """Milliseconds since 1970. A time without a zone is UTC. Raises Problem 400."""
    text = call.query(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{name} is a time as 2026-01-31T12:00:00Z", parameter=name) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


ROUTES = (
    Route("GET", "/v1/audit", "admin", "Who changed what, or tried to", list_audit, cost="whole",
          parameters=(
              Parameter("namespace", "only this namespace"),
              Parameter("actor", "only this token, by its name or id"),
              Parameter("key", "only calls that name this key"),
              Parameter("outcome", "accepted, refused or unknown"),
              Parameter("since", "not before this time, RFC 3339"),
              Parameter("until", "not after this time, RFC 3339"),
              Parameter("format", "json (default), or ndjson: an export"),
              LIMIT,
              Parameter("after", "the `next` of the page before; of an export: behind this number"),
          )),
)  # fmt: skip
