"""Keys: publish, read, roll back, compare."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import (
    AT_LEAST,
    COMMENT,
    IDEMPOTENCY,
    IF_MATCH,
    IF_NONE_MATCH,
    PAGE,
    SUPERSEDE,
    URGENT,
    Parameter,
    Route,
)
from config_center.problems import Problem, invalid
from config_center.publishing import Put
from config_center.service import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT_TYPES = {
    "text/plain": "text",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "application/toml": "toml",
}
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_KEYS = "/v1/namespaces/{ns}/keys"
_KEY = _KEYS + "/{key}"


class RolloutBody(Body):
    """
    Who gets a change first: ``percent`` of the devices (or instances, by ``unit``), those in
    ``allow`` always, those in ``deny`` never; ``steps`` are the shares that ``step`` goes to.
    """

    percent: float = Field(ge=0, le=100)
    unit: str = "device"
    salt: str | None = Field(None, max_length=200)
    allow: list[str] = Field(default_factory=list, max_length=1000)
    deny: list[str] = Field(default_factory=list, max_length=1000)
    rules: list[dict[str, Any]] = Field(default_factory=list, max_length=100)
    steps: list[Any] = Field(default_factory=list, max_length=100)
    min_devices: int | None = Field(None, ge=1)


class PutBody(Body):
    """A value to publish."""

    value: Any
    format: str = "json"
    comment: str = Field("", max_length=1000)
    rollout: RolloutBody | None = None


class RollbackBody(Body):
    """Which version to go back to; none: the one before."""

    to: int | None = Field(None, ge=1, le=2**53 - 1)
    comment: str = Field("", max_length=1000)


class SchemaBody(Body):
    """A kind, or a JSON Schema of your own."""

    kind: str | None = None
    json_schema: Any = None
    comment: str = Field("", max_length=1000)


async def list_keys(call: Call) -> web.Response:
    """Keys with version, format, size and rollout."""
    limit = call.number("limit", 100, 1, 1000)
    prefix = call.query("prefix") or ""
    reach = call.actor.reach
    return answer(call.service.keys(call.ns, prefix, limit, call.query("after"), reach))


async def get_key(call: Call) -> web.Response:
    """The key; one of its versions; or what one unit gets, and why."""
    key, unit, version = call.path("key"), call.query("unit"), call.optional_number("version")
    if call.request.query_string:
        _check_question(call)
    if unit is not None:
        reach = call.actor.reach
        return answer(call.service.resolve(call.ns, key, unit, call.attributes(), reach))
    if version is not None:
        return answer(await call.service.key_version(call.ns, key, version))
    body, etag = call.service.key_bytes(call.ns, key, call.actor.reach)
    if call.request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(body=body, content_type="application/json", headers={"ETag": etag})


async def put_key(call: Call) -> web.Response:
    """Publish a value, to all or to a canary."""
    done = await call.service.put(call.ns, call.path("key"), await _put(call), call.actor)
    return _with_etag(done)


async def validate_key(call: Call) -> web.Response:
    """Everything a publish would check, without publishing."""
    plain = await call.service.validate(call.ns, call.path("key"), await _put(call), call.actor)
    return answer(plain)


async def delete_key(call: Call) -> web.Response:
    """Remove a key; a rollback brings it back."""
    done = await call.service.delete(
        call.ns,
        call.path("key"),
        call.actor,
        comment=call.comment(),
        if_match=_if_match(call),
        idempotency_key=call.idempotency_key(),
        supersede=call.flag("supersede"),
        urgent=call.flag("urgent"),
    )
    return _with_etag(done)


async def rollback_key(call: Call) -> web.Response:
    """Publish an older version's content again, as a new version."""
    body = await call.body(RollbackBody)
    with _naming_a_near_key(call):
        done = await call.service.rollback(
            call.ns,
            call.path("key"),
            body.to,
            call.actor,
            comment=body.comment,
            if_match=_if_match(call),
            idempotency_key=call.idempotency_key(),
            supersede=call.flag("supersede"),
        )
    return _with_etag(done)


async def list_versions(call: Call) -> web.Response:
    """Every version of a key, the newest first."""
    limit = call.number("limit", 100, 1, 1000)
    key = call.path("key")
    with _naming_a_near_key(call):
        return answer(await call.service.versions(call.ns, key, limit, call.query("after")))


async def diff_key(call: Call) -> web.Response:
    """What differs between two versions; secrets are masked."""
    form = call.query("format") or "structural"
    if form not in ("structural", "unified", "json-patch"):
        raise invalid("format is structural, unified or json-patch", parameter="format")
    before, after = call.optional_number("from"), call.optional_number("to")
    with _naming_a_near_key(call):
        return answer(await call.service.diff(call.ns, call.path("key"), before, after, form))


@contextmanager
def _naming_a_near_key(call: Call) -> Iterator[None]:
    """History knows no reach: what was never a key is refused by what does, and names others."""
    try:
        yield
    except Problem as problem:
        key = call.path("key")
        if problem.name == "not-found" and key not in call.service.ledger(call.ns).state.entries:
            call.service.key_bytes(call.ns, key, call.actor.reach)
        raise


async def put_schema(call: Call) -> web.Response:
    """Bind a key to a kind or to a JSON Schema; every publish must pass."""
    body = await call.body(SchemaBody)
    plain = body.model_dump(exclude_none=True)
    comment = plain.pop("comment")
    if len(plain) != 1:
        raise invalid('send {"kind": NAME} or {"json_schema": {...}}')
    done = await call.service.set_schema(
        call.ns, call.path("key"), plain, call.actor, call.idempotency_key(), comment,
        urgent=call.flag("urgent"),
    )  # fmt: skip
    return _with_etag(done)


async def get_schema(call: Call) -> web.Response:
    """What a key is bound to."""
    return answer(call.service.get_schema(call.ns, call.path("key")))


def _check_question(call: Call) -> None:
    unit = call.query("unit")
    if unit == "":
        raise invalid("unit is the id of a device or instance", parameter="unit")
    if unit is None and call.attributes():
        raise invalid("attr.NAME goes with unit: say whose attribute it is", parameter="unit")
    if unit is not None and call.query("version") is not None:
        raise invalid("send unit or version, not both", parameter="version")


async def _put(call: Call) -> Put:
    content_type = call.request.content_type
    if content_type in _TEXT_TYPES:
        return await _put_text(call, _TEXT_TYPES[content_type])
    if content_type not in ("application/json", "application/octet-stream"):
        raise Problem(
            "unsupported-media-type",
            f"send application/json or one of {', '.join(_TEXT_TYPES)}",
        )
    for name in ("percent", "comment"):
        if call.query(name) is not None:
            where = "rollout.percent" if name == "percent" else name
            raise invalid(f"beside JSON, {name} is the body's field {where}", parameter=name)
    body = await call.body(PutBody)
    return Put(
        value=body.value,
        format=body.format,
        comment=body.comment,
        rollout=None if body.rollout is None else body.rollout.model_dump(exclude_none=True),
        if_match=_if_match(call),
        if_none_match=_if_none_match(call),
        idempotency_key=call.idempotency_key(),
        supersede=call.flag("supersede"),
        urgent=call.flag("urgent"),
    )


async def _put_text(call: Call, form: str) -> Put:
    if (call.request.charset or "utf-8").lower() not in _CHARSETS:
        raise Problem("unsupported-media-type", "send the text as UTF-8", charset="utf-8")
    try:
        text = (await call.raw()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"byte {error.start} is not UTF-8; send UTF-8") from error
    percent = call.percent()
    return Put(
        value=text,
        text=text,
        format=form,
        comment=call.comment(),
        rollout=None if percent is None else {"percent": percent, "unit": "device"},
        if_match=_if_match(call),
        if_none_match=_if_none_match(call),
        idempotency_key=call.idempotency_key(),
        supersede=call.flag("supersede"),
        urgent=call.flag("urgent"),
    )


def _if_match(call: Call) -> str | None:
    return call.header("If-Match")


def _if_none_match(call: Call) -> bool:
    header = call.header("If-None-Match")
    if header not in (None, "*"):
        raise invalid("If-None-Match takes * here: publish only if the key does not exist")
    return header == "*"


def _with_etag(done: Answer) -> web.Response:
    return answer(done.body, etag=done.etag)


_PERCENT = Parameter("percent", "for a bare body: publish to this share of the devices", "number")
_WRITES = (IF_MATCH, IDEMPOTENCY, SUPERSEDE)
_BODIES = ("application/json", "text/plain", "application/yaml", "application/toml")

ROUTES = (
    Route("GET", _KEYS, "read", "List keys", list_keys, about="part",
          parameters=(Parameter("prefix", "only keys that begin so"), *PAGE, AT_LEAST)),
    Route("PUT", _KEY, "publish", "Publish", put_key, PutBody,
          (*_WRITES, URGENT, IF_NONE_MATCH, COMMENT, _PERCENT), bodies=_BODIES),
    Route("GET", _KEY, "read", "Read a key", get_key,
          parameters=(
              Parameter("version", "this version", "integer"),
              Parameter("unit", "resolve for this device"),
              Parameter("attr.NAME", "an attribute of the unit"),
              AT_LEAST,
          )),
    Route("DELETE", _KEY, "publish", "Remove a key", delete_key,
          parameters=(*_WRITES, URGENT, COMMENT)),
    Route("GET", _KEY + "/versions", "read", "History", list_versions,
          parameters=(*PAGE, AT_LEAST)),
    Route("GET", _KEY + "/diff", "read", "Compare two versions", diff_key,
          parameters=(
              Parameter("from", "older version; none: the one before", "integer"),
              Parameter("to", "newer version; none: the latest", "integer"),
              Parameter("format", "structural, unified or json-patch"),
              AT_LEAST,
          )),
    Route("POST", _KEY + "/rollback", "revert", "Roll back", rollback_key, RollbackBody, _WRITES),
    Route("POST", _KEY + "/validate", "read", "Dry run", validate_key, PutBody,
          (IF_MATCH, IF_NONE_MATCH, SUPERSEDE, COMMENT, _PERCENT), bodies=_BODIES),
    Route("PUT", _KEY + "/schema", "define", "Bind to a kind or schema", put_schema, SchemaBody,
          (IDEMPOTENCY, URGENT)),
    Route("GET", _KEY + "/schema", "read", "Kind or schema of a key", get_schema,
          parameters=(AT_LEAST,)),
)  # fmt: skip
