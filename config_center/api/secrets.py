"""Key-encryption keys, and secrets of the past: exchanged, destroyed, sealed."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import PAGE, Parameter, Route
from config_center.problems import invalid

_KEKS = "/v1/secrets"
_NS = "/v1/namespaces/{ns}"
_KEY = _NS + "/keys/{key}"


class RotateBody(Body):
    """The key that seals from now on; none: the last one of the center's source."""

    to: str | None = Field(None, max_length=64)


class ShredBody(Body):
    """The version whose secrets are destroyed."""

    version: int = Field(ge=1, le=2**53 - 1)
    comment: str = Field("", max_length=1000)


class WhyBody(Body):
    """Why."""

    comment: str = Field("", max_length=1000)


async def secrets_status(call: Call) -> web.Response:
    """Which key-encryption key wraps how many data keys."""
    return answer(call.service.keks.status())


async def add_secret_key(call: Call) -> web.Response:
    """Make a key-encryption key in the center's file: it opens, and seals nothing yet."""
    return answer(await call.service.keks.add(), 201)


async def rotate_secret_key(call: Call) -> web.Response:
    """Seal with another key-encryption key and wrap every data key anew; ask until 0 are left."""
    body = await call.body(RotateBody)
    return answer(await call.service.keks.rotate(body.to, call.actor))


async def drop_secret_key(call: Call) -> web.Response:
    """Forget a key-encryption key that wraps nothing any more."""
    return answer(await call.service.keks.drop(call.path("id"), call.actor))


async def list_clear_secrets(call: Call) -> web.Response:
    """Versions that hold in clear what is a secret today: where, never what."""
    return call.page(await call.service.secrets.in_clear(call.ns), "id")


async def seal_secrets(call: Call) -> web.Response:
    """Publish anew, sealed, what is served with a secret in clear."""
    body = await call.body(WhyBody)
    return answer(await call.service.secrets.seal(call.ns, call.actor, body.comment))


async def reseal_key(call: Call) -> web.Response:
    """Publish the present value anew under new data keys."""
    body = await call.body(WhyBody)
    key = call.path("key")
    return answer(await call.service.secrets.reseal(call.ns, key, call.actor, body.comment))


async def would_shred(call: Call) -> web.Response:
    """Which versions share secrets with this one, so are destroyed together; nothing is done."""
    version = call.number("version", 0, 1, 2**53 - 1)
    if not version:
        raise invalid("say which: ?version=N", parameter="version")
    found = await call.service.secrets.would_shred(call.ns, call.path("key"), version)
    if not call.actor.reach.whole(call.ns):  # which instances there are is not about a key
        found["served_by"] = []
    return answer(found)


async def shred_version(call: Call) -> web.Response:
    """Destroy the secrets of a version, for good."""
    body = await call.body(ShredBody)
    done = await call.service.secrets.shred(
        call.ns, call.path("key"), body.version, call.actor, body.comment
    )
    return answer(done)


ROUTES = (
    Route("GET", _KEKS, "admin", "Key-encryption keys in use", secrets_status),
    Route("POST", _KEKS + "/keys", "admin", "Make a key-encryption key", add_secret_key,
          status=201),
    Route("POST", _KEKS + "/rotate", "admin", "Exchange the key-encryption key",
          rotate_secret_key, RotateBody),
    Route("DELETE", _KEKS + "/keys/{id}", "admin", "Drop an old one", drop_secret_key),
    Route("GET", _NS + "/secrets", "admin", "Secrets in clear", list_clear_secrets,
          parameters=PAGE),
    Route("POST", _NS + "/secrets/seal", "admin", "Seal what stands in clear", seal_secrets,
          WhyBody),
    Route("POST", _KEY + "/reseal", "admin", "Exchange data keys", reseal_key, WhyBody),
    Route("GET", _KEY + "/shred", "admin", "What shredding would destroy", would_shred,
          parameters=(Parameter("version", "whose secrets", "integer"),)),
    Route("POST", _KEY + "/shred", "admin", "Destroy secrets", shred_version, ShredBody),
)  # fmt: skip
