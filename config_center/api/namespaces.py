"""Namespaces, and who runs what in them."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from config_center.api.context import Body, Call, answer
from config_center.api.route import AT_LEAST, BYTES, PAGE, Route

_NS = "/v1/namespaces/{ns}"


class NamespaceBody(Body):
    """``template``: ``gateway`` binds the gateway's keys to their kinds."""

    template: str | None = Field(None, max_length=100)


async def list_namespaces(call: Call) -> web.Response:
    """The namespaces this token can see."""
    return call.page(call.service.namespaces(call.actor), "namespace")


async def put_namespace(call: Call) -> web.Response:
    """Make a namespace."""
    body = await call.body(NamespaceBody)
    plain = await call.service.create_namespace(call.ns, body.template, call.actor)
    return answer(plain, 201)


async def get_namespace(call: Call) -> web.Response:
    """Its position, size and whether it takes changes."""
    return answer(call.service.namespace(call.ns))


async def delete_namespace(call: Call) -> web.Response:
    """End a namespace; its name is never used again."""
    return answer(await call.service.delete_namespace(call.ns, call.actor))


async def list_instances(call: Call) -> web.Response:
    """Instances, and which versions they applied or refused."""
    limit = call.number("limit", 100, 1, 1000)
    return answer(call.service.instances(call.ns, limit, call.query("after")))


async def list_devices(call: Call) -> web.Response:
    """Devices, and which versions they get."""
    limit = call.number("limit", 100, 1, 1000)
    return answer(call.service.devices(call.ns, limit, call.query("after")))


async def post_report(call: Call) -> web.Response:
    """A signed report of an instance about itself."""
    await call.service.report(call.ns, await call.raw(), call.actor)
    return web.Response(status=202)


ROUTES = (
    Route("GET", "/v1/namespaces", "read", "List namespaces", list_namespaces, parameters=PAGE,
          about="part"),
    # A name is never used again, so names are the center's and not of whoever may use one.
    Route("PUT", _NS, "admin", "Make a namespace", put_namespace, NamespaceBody, status=201,
          about="new"),
    Route("GET", _NS, "read", "One namespace", get_namespace, parameters=(AT_LEAST,),
          about="part"),
    Route("DELETE", _NS, "admin", "End a namespace", delete_namespace, about="center"),
    Route("GET", _NS + "/instances", "read", "Who runs what", list_instances, parameters=PAGE),
    Route("GET", _NS + "/devices", "read", "Which device gets what", list_devices, parameters=PAGE),
    Route("POST", _NS + "/reports", "report", "Report as an instance", post_report,
          status=202, bodies=(BYTES,)),
)  # fmt: skip
