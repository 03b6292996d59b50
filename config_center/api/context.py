"""
One call: who asks, for what, with which body, strictly read.

Unknown query parameters and body fields are refused with the nearest known name, because a misspelt
``percent`` that is silently ignored publishes to everybody.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from client_sdk.errors import InvalidValue
from client_sdk.listening import HEAD_WITHIN, PACE
from client_sdk.records import NAMESPACE, Position
from client_sdk.suggestions import did_you_mean
from client_sdk.values import MAX_NODES, parse_json
from config_center.problems import Problem, invalid
from config_center.publishing import MAX_COMMENT
from config_center.reading import page

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from config_center.access import Actor
    from config_center.api.route import Route
    from config_center.service import Service
    from config_center.settings import Settings

M = TypeVar("M", bound=BaseModel)

_PART = 64 * 1024
_FRAMING = 64 * 1024  # what a change may have around its values
_MAX_TEXT = 200
_NODES = 4 * MAX_NODES  # of a whole request; each value has a bound of its own
_AT_LEAST_WITHIN = 1.0  # seconds
_JSON_TYPES = ("application/json", "application/octet-stream")  # the latter: none was named


class Body(BaseModel):
    """The base of all request bodies: strict, and every unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


@dataclass(slots=True)
class Call:
    """A request with everything a handler needs."""

    request: web.Request
    route: Route
    service: Service
    settings: Settings
    caller: Actor | None
    asked: Any = None  # the body, once it was read as JSON

    @property
    def actor(self) -> Actor:
        """Whoever asks; public routes have nobody."""
        if self.caller is None:
            raise RuntimeError("a public route asked who is calling")
        return self.caller

    @property
    def ns(self) -> str:
        """The namespace of the path."""
        return self.path("ns")

    def path(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def query(self, name: str) -> str | None:
        """A query parameter."""
        return self.request.query.get(name)

    def header(self, name: str) -> str | None:
        """A request header. Raises Problem 400 for one that is sent twice, or is not a text."""
        found = self.request.headers.getall(name, ())
        if not found:
            return None
        if len(found) > 1 or not found[0].isprintable():
            raise invalid(f"send {name} once, as printable UTF-8", header=name)
        return found[0]

    def flag(self, name: str) -> bool:
        """A yes-or-no query parameter. Raises Problem 400."""
        text = self.query(name)
        if text in (None, "", "false", "0"):
            return False
        if text in ("true", "1"):
            return True
        raise invalid(f"{name} is true or false, not {text[:_MAX_TEXT]!r}", parameter=name)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole-number query parameter. Raises Problem 400."""
        text = self.query(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 17 and low <= int(text) <= high):
            raise invalid(f"{name} is a whole number from {low} to {high}", parameter=name)
        return int(text)

    def page(self, items: list[dict[str, Any]], name: str) -> web.Response:
        """The page of a short list that was asked for. Raises Problem 400."""
        return answer(page(items, name, self.number("limit", 100, 1, 1000), self.query("after")))

    def optional_number(self, name: str) -> int | None:
        """The same without a default."""
        return None if self.query(name) is None else self.number(name, 0, 1, 2**53 - 1)

    def percent(self) -> float | None:
        """``?percent=``. Raises Problem 400."""
        text = self.query("percent")
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 100:
            raise invalid("percent is a number from 0 to 100", parameter="percent")
        return value

    def comment(self) -> str:
        """``?comment=``, for a body that has no field for it. Raises Problem 400."""
        text = self.query("comment") or ""
        if len(text) > MAX_COMMENT:
            raise invalid(f"a comment has at most {MAX_COMMENT:,} characters", parameter="comment")
        return text

    def attributes(self) -> dict[str, str]:
        """``?attr.NAME=VALUE`` as a mapping."""
        prefix = "attr."
        query = self.request.query
        return {k.removeprefix(prefix): v for k, v in query.items() if k.startswith(prefix)}

    def idempotency_key(self) -> str | None:
        """The header. Raises Problem 400."""
        key = self.header("Idempotency-Key")
        return None if key is None else _printable(key)

    def change(self) -> str:
        """
        The change that the path names, by its id or an Idempotency-Key. Raises Problem 400 for what
        no header can hold: the ids of drafts come of such texts.
        """
        return _printable(self.path("id"))

    async def raw(self) -> bytes:
        """The body's bytes, bounded. Raises Problem 408, 413, 415."""
        limit = self.settings.limits.change_bytes
        too_large = Problem(
            "too-large", f"a request may have {limit} bytes; publish less at once", limit=limit
        )
        return await self._receive(limit + _FRAMING, too_large)

    async def large(self, limit: int) -> bytes:
        """The bytes of a body that may be larger than any other. Raises Problem 408, 413, 415."""
        too_large = Problem("too-large", f"this may have {limit} bytes", limit=limit)
        return await self._receive(limit, too_large)

    async def _receive(self, limit: int, too_large: Problem) -> bytes:
        """The body at a pace: nobody holds a connection by sending a byte now and then."""
        if self.request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem("unsupported-media-type", "send the body as it is, not compressed")
        if (self.request.content_length or 0) > limit:
            raise too_large
        parts, size = [], 0
        loop = asyncio.get_running_loop()
        end = loop.time() + HEAD_WITHIN
        try:
            while not self.request.content.at_eof():
                async with asyncio.timeout_at(end + size / PACE):
                    part = await self.request.content.read(_PART)
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
        except TimeoutError:
            raise Problem(
                "request-timeout",
                f"a body comes at {PACE >> 10} KiB a second or faster",
                headers={"Connection": "close"},
            ) from None
        return b"".join(parts)

    async def json(self) -> Any:
        """The body as strict JSON; an empty body is an empty object. Raises Problem 400, 415."""
        raw = await self.raw()
        if not raw.strip():
            return {}
        if self.request.content_type not in _JSON_TYPES:
            raise Problem("unsupported-media-type", "send application/json")
        try:
            self.asked = parse_json(raw, self.settings.limits.depth + 8, _NODES)
        except InvalidValue as error:
            raise invalid(f"the body cannot be used: {error}") from error
        return self.asked

    async def body(self, model: type[M]) -> M:
        """The body as ``model``. Raises Problem 400 that names every wrong field."""
        plain = await self.json()
        if not isinstance(plain, dict):
            raise invalid("send a JSON object")
        _check_names(plain, model)
        try:
            return model.model_validate(plain)
        except ValidationError as error:
            raise _wrong_fields(error, model) from None


def check_query(call: Call) -> None:
    """Refuse query parameters that the route does not know, and those that stand twice."""
    query = call.request.query
    known = [p.name for p in call.route.parameters if p.place == "query"]
    for name in query:
        if name not in known and not (name.startswith("attr.") and "attr.NAME" in known):
            hint = did_you_mean(name, known)
            raise invalid(f"there is no parameter {name[:_MAX_TEXT]!r} here{hint}", parameter=name)
        if len(query.getall(name)) > 1:
            raise invalid(f"send {name[:_MAX_TEXT]} once", parameter=name)


async def await_position(call: Call) -> None:
    """
    ``?at_least=``: until this center has that change. Raises Problem 400, 503 ``behind``.

    Beats wake the wait too, so a position that came without a record of ours is seen.
    """
    text = call.query("at_least")
    if text is None:
        return
    try:
        wanted = Position.parse(text)
    except ValueError as error:
        raise invalid(str(error), parameter="at_least") from error
    ledger = call.service.ledger(call.ns)
    try:
        with ledger.watch() as watcher:
            async with asyncio.timeout(_AT_LEAST_WITHIN):
                while ledger.state.position < wanted:
                    await anext(watcher)
    except (TimeoutError, StopAsyncIteration):
        raise Problem(
            "behind",
            f"this center is at {ledger.state.position} of {call.ns}, not at {wanted} yet; ask "
            "again, or ask the center that told you of it",
            headers={"Retry-After": "1"},
            position=str(ledger.state.position),
        ) from None


def check_names(call: Call) -> None:
    """Refuse a namespace that no namespace can be called."""
    ns = call.request.match_info.get("ns")
    if ns is not None and not NAMESPACE.match(ns):
        raise invalid(
            "a namespace has lower-case letters, digits and -, at most 63, and begins with a "
            "letter or digit"
        )


def _check_names(plain: dict[str, Any], model: type[BaseModel]) -> None:
    known = [field.alias or name for name, field in model.model_fields.items()]
    for name in plain:
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
            raise invalid(f"there is no field {name[:_MAX_TEXT]!r}{hint}", field=name)


def _wrong_fields(error: ValidationError, model: type[BaseModel]) -> Problem:
    errors = [
        {"path": "".join(f"/{part}" for part in found["loc"]), "message": _said(found, model)}
        for found in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = errors[0]
    return invalid(f"{first['path'] or 'the body'}: {first['message']}", errors=errors)


def _said(found: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with a field. A pattern is for machines: its description says what it means."""
    if found["type"] == "string_pattern_mismatch":
        field = model.model_fields.get(str(found["loc"][0]))
        if field is not None and field.description:
            return f"must be {field.description}"
    return found["msg"]


class Answered(web.Response):
    """A JSON answer that keeps what it was made of, for the audit: it picks names and numbers."""

    plain: Any = None


def answer(plain: Any, status: int = 200, etag: str | None = None) -> web.Response:
    """A JSON answer."""
    headers = {} if etag is None else {"ETag": etag}
    response = Answered(
        body=orjson.dumps(plain), status=status, content_type="application/json", headers=headers
    )
    response.plain = plain
    return response


def _printable(key: str) -> str:
    if not (0 < len(key) <= _MAX_TEXT and key.isprintable()):
        raise invalid(f"an Idempotency-Key has 1 to {_MAX_TEXT} printable characters")
    return key
