"""
Following a namespace: server-sent events for people and scripts, signed records for SDKs.

The watcher is registered before the backlog is read, so nothing falls between; what it hears twice
is dropped by position. ``Last-Event-ID`` (or ``after``) is a position; history that does not reach
back to it is answered 503 ``history-incomplete`` before the stream begins.

Where something on the way keeps a stream back until it ends, ``news`` says the same by long polls:
an answer comes with the next record or beat, so at least once a second.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from client_sdk.image import Image
from client_sdk.listening import send_no_further
from client_sdk.records import Beat, Position, Record, pack
from config_center.access import require_whole
from config_center.api.context import answer
from config_center.api.route import BYTES, EVENTS, Parameter, Route
from config_center.events import Events
from config_center.problems import Problem, invalid, not_found
from config_center.review.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from config_center.api.context import Call
    from config_center.ledger.ledger import Ledger
    from config_center.ledger.watchers import Watcher

_NS = "/v1/namespaces/{ns}"
_SILENCE = 1.2  # seconds; a heartbeat comes every second
_BREATH = 0.5
_MAX_RECORDS_BYTES = 16 * 1024 * 1024
_MAX_NEWS_BYTES = 1024 * 1024


async def watch(call: Call) -> web.StreamResponse:
    """Changes and heartbeats as they happen."""
    ledger = call.service.ledger(call.ns)
    form = call.query("as") or "changes"
    if form not in ("changes", "records"):
        raise invalid("as is changes or records", parameter="as")
    if form == "records":  # they are signed as they are: nothing can be left out
        require_whole(call.actor, call.ns)
    after = _after(call)
    with ledger.watch() as watcher:
        before = policy_of(ledger.state)
        backlog = await _backlog(ledger, after)
        response = web.StreamResponse(
            headers={
                "Content-Type": EVENTS,
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        events = Events(None if backlog else before, partial(_author, call))
        render = _signed if form == "records" else _plain(_wanted(call), events)
        position = ledger.state.position if after is None else after
        send = partial(_send, call.request, response)
        with contextlib.suppress(ConnectionError):  # it left, or was cut, be it at once
            send_no_further(call.request)
            await response.prepare(call.request)
            await send(_event("subscribed", str(position), str(ledger.state.position)))
            for record in backlog:
                await send(render(record))
                position = record.position
            if ledger.newest_beat is not None:  # nobody waits for the next to know how old he is
                await send(render(ledger.newest_beat))
            opens = partial(call.service.tokens.opens, call.actor)
            await _follow(watcher, position, send, render, opens)
    return response


async def _follow(
    watcher: Watcher,
    position: Position,
    send: Callable[[bytes], Awaitable[None]],
    render: Callable[[Record | Beat], bytes],
    opens: Callable[[], bool],
) -> None:
    """
    Send what comes, each record once: it may have been in the backlog too. In a silence comments go
    out, so that whoever listens can tell it from a connection that is dead. A token that ``opens``
    no more, revoked or expired, hears no more. Whoever does not take what was sent is sent nothing
    more; what comes meanwhile waits in his watcher and costs nobody time. The guard of his socket
    cuts him in the end, and what is written to him then raises.
    """
    patience = _SILENCE
    while True:
        try:
            async with asyncio.timeout(patience):
                message = await anext(watcher)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not opens():
                return
            patience = _BREATH
            await send(b":\n\n")
            continue
        patience = _SILENCE
        if not opens():
            return
        if isinstance(message, Record):
            if message.position <= position:
                continue
            position = message.position
        await send(render(message))


async def get_news(call: Call) -> web.Response:
    """What the stream of records would have said since ``after``, and the newest beat."""
    ledger = call.service.ledger(call.ns)
    after = _after(call)
    with ledger.watch() as watcher:
        records = None if after is None else await ledger.since(after)
        if not records and after is not None:
            with contextlib.suppress(TimeoutError, StopAsyncIteration):
                async with asyncio.timeout(_SILENCE):
                    message = await anext(watcher)
                    records = [message] if isinstance(message, Record) else None
    if not call.service.tokens.opens(call.actor):
        raise Problem("unauthorized", "this token has ended while its question waited")
    frames = _up_to(_MAX_NEWS_BYTES, records or [])
    if ledger.newest_beat is not None:
        frames.append(ledger.newest_beat.encode())
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=pack(frames), content_type=BYTES, headers=headers)


async def get_snapshot(call: Call) -> web.Response:
    """The whole namespace as signed: what an SDK loads."""
    ledger = call.service.ledger(call.ns)
    if ledger.head is None:
        raise ledger.problem()
    state = ledger.state
    image = Image(ledger.head, tuple(state.entries.values()), ledger.ring, ledger.newest_beat)
    raw = await asyncio.to_thread(image.encode)
    return web.Response(body=raw, content_type=BYTES, headers={"ETag": f'"{state.position}"'})


async def get_ring(call: Call) -> web.Response:
    """The wrapped data keys of sealed fields; useless without the key-encryption key."""
    return answer(call.service.ledger(call.ns).ring)


async def get_records(call: Call) -> web.Response:
    """Signed records after a position, each with a 4-byte length before it."""
    ledger = call.service.ledger(call.ns)
    records = await _backlog(ledger, _after(call) or Position(0, 0))
    parts = _up_to(_MAX_RECORDS_BYTES, records)
    more = len(parts) < len(records) or bool(
        records and records[-1].position < ledger.state.position
    )
    headers = {"X-Config-More": "1"} if more else {}
    return web.Response(body=pack(parts), content_type=BYTES, headers=headers)


def _up_to(limit: int, records: Sequence[Record]) -> list[bytes]:
    """The frames of the first records that fit into so many bytes, one at least."""
    frames: list[bytes] = []
    for record in records:
        frame = record.encode()
        limit -= len(frame)
        if frames and limit < 0:
            break
        frames.append(frame)
    return frames


async def get_object(call: Call) -> web.Response:
    """A body by its hash."""
    sha = call.path("sha256")
    ledger = call.service.ledger(call.ns)
    body = await ledger.body(sha)
    if body is None:
        raise not_found(f"there is no object {sha[:64]!r} in {call.ns}")
    return web.Response(body=body, content_type=BYTES)


def _after(call: Call) -> Position | None:
    text = call.request.headers.get("Last-Event-ID") or call.query("after")
    if text is None:
        return None
    try:
        return Position.parse(text)
    except ValueError as error:
        raise invalid(str(error), parameter="after") from error


async def _backlog(ledger: Ledger, after: Position | None) -> list[Record]:
    if after is None:
        return []
    records = await ledger.since(after)
    if records is None:
        raise Problem(
            "history-incomplete",
            f"this center's history of {ledger.ns} does not reach back to {after}; "
            "load the snapshot and go on from there",
            position=str(ledger.state.position),
        )
    return records


async def _send(request: web.Request, response: web.StreamResponse, event: bytes) -> None:
    if event:
        await response.write(event)
        await request.writer.drain()


def _event(name: str, data: str, event_id: str = "") -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def _signed(message: Record | Beat) -> bytes:
    frame = base64.b64encode(message.encode()).decode("ascii")
    if isinstance(message, Beat):
        return _event("heartbeat", frame)
    return _event("record", frame, str(message.position))


def _wanted(call: Call) -> Callable[[str], bool] | None:
    """Which keys are shown of a change: asked for, and reached by the token; None: all."""
    prefix, ns, reach = call.query("prefix") or "", call.ns, call.actor.reach
    if not prefix and reach.whole(ns):
        return None
    return lambda key: key.startswith(prefix) and reach.holds(ns, key)


def _author(call: Call, ident: str) -> str | None:
    """Who wrote a draft, for those who may look at drafts."""
    if not call.actor.may("review"):
        return None
    return call.service.authors.of(call.ns, ident)


def _plain(
    wanted: Callable[[str], bool] | None, events: Events
) -> Callable[[Record | Beat], bytes]:
    def render(message: Record | Beat) -> bytes:
        position = str(message.position)
        if isinstance(message, Beat):
            return _event("heartbeat", orjson.dumps({"position": position}).decode())
        header = message.header
        keys = [
            {
                "key": op.key,
                "op": op.op,
                "version": None if op.content is None else op.content.version,
                "latest": op.latest,
                "rollout": None if op.rollout is None else op.rollout.id,
            }
            for op in header.ops
            if not op.key.startswith("_") and (wanted is None or wanted(op.key))
        ]
        if wanted is not None and not keys:
            return b""
        about = {
            "position": position,
            "type": header.type,
            "keys": keys,
            "author": header.author,
            "comment": header.comment,
            "at": header.ts,
        }
        if not keys:  # it is about the namespace itself
            about["what"] = events.what(message)
        return _event("change", orjson.dumps(about).decode(), position)

    return render


_RESUME = Parameter("after", "EPOCH-REVISION: everything after it first")

ROUTES = (
    Route("GET", _NS + "/watch", "read", "Follow changes", watch, answers=EVENTS, cost="stream",
          about="part",
          parameters=(
              _RESUME,
              Parameter("as", "changes (default) or records: the signed bytes"),
              Parameter("prefix", "only keys that begin so"),
              Parameter("Last-Event-ID", "resume after this position", place="header"),
          )),
    Route("GET", _NS + "/news", "read", "The same by long polls", get_news, answers=BYTES,
          parameters=(_RESUME,)),
    Route("GET", _NS + "/snapshot", "read", "The signed whole", get_snapshot, answers=BYTES,
          cost="whole"),
    Route("GET", _NS + "/records", "read", "Signed records", get_records, answers=BYTES,
          parameters=(_RESUME,)),
    Route("GET", _NS + "/ring", "read", "Wrapped data keys", get_ring),
    Route("GET", _NS + "/objects/{sha256}", "read", "A body by hash", get_object, answers=BYTES),
)  # fmt: skip
