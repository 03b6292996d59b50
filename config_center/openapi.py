"""The OpenAPI 3.1 document, made from the route table; nothing is written twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from config_center import __version__
from config_center.problems import STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config_center.api.route import Route

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_PATTERNS = {
    "ns": r"^[a-z0-9][a-z0-9-]{0,62}$",
    "key": r"^[a-z0-9][a-z0-9._-]{0,127}$",
    "sha256": r"^[0-9a-f]{64}$",
}
_COMMON = (400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503)
_WRITES = (409, 412, 422, 428, 504, 507)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document as plain JSON."""
    routes = tuple(routes)
    models = {route.body for route in routes if route.body is not None}
    wanted = [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)]
    _, schemas = models_json_schema(wanted, ref_template=_REF)  # type: ignore[arg-type]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Config center",
            "version": __version__,
            "description": "Versioned configuration with canary rollouts. Errors are RFC 9457 "
            "problems; `type` is `urn:config-center:problem:NAME`.",
        },
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "parameters": [*_path_parameters(route.path), *_parameters(route)],
        "responses": _responses(route),
        "tags": [_tag(route.path)],
        "x-permission": route.permission,
        "x-about": route.reach,
    }
    if route.permission != "public":
        operation["security"] = [{"token": []}]
    content = _content(route)
    if content:
        operation["requestBody"] = {"content": content, "required": _is_required(route)}
    return operation


def _is_required(route: Route) -> bool:
    """An empty body is an empty object, so it is required where a field of it is."""
    if route.body is None:
        return True
    return any(field.is_required() for field in route.body.model_fields.values())


def operation_id(route: Route) -> str:
    """The name of what a route does, of its own among all routes."""
    last = route.path.rpartition("/")[2]
    return f"{last}_rollout" if route.name == "move_rollout" else route.name


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **_pattern(name)},
        }
        for name in _PARAMETER.findall(path)
    ]


def _pattern(name: str) -> dict[str, str]:
    return {"pattern": _PATTERNS[name]} if name in _PATTERNS else {}


def _parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": parameter.place,
            "description": parameter.description,
            "schema": {"type": parameter.type},
        }
        for parameter in route.parameters
    ]


def _content(route: Route) -> dict[str, Any]:
    if route.body is not None:
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        return {
            kind: {"schema": schema if kind == "application/json" else {"type": "string"}}
            for kind in route.bodies
        }
    if route.bodies != ("application/json",):
        return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.bodies}
    return {}


def _responses(route: Route) -> dict[str, Any]:
    codes = _COMMON + (_WRITES if route.method != "GET" else ())
    problem = {
        "description": "A problem",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    success: dict[str, Any] = {"description": route.summary}
    if route.status != 202:
        success["content"] = {route.answers: {}}
    responses = {str(route.status): success, **{str(code): problem for code in codes}}
    if route.name == "readyz":
        responses["503"] = {"description": "Not ready", "content": {route.answers: {}}}
    if route.name == "get_key":
        responses["304"] = {"description": "Not modified"}
    return responses


def _tag(path: str) -> str:
    parts = path.split("/")
    return parts[4] if len(parts) > 4 else parts[2] if len(parts) > 2 else "operation"


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "examples": sorted(f"urn:config-center:problem:{n}" for n in STATUS),
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, and what to do"},
    },
}
