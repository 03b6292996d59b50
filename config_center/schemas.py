"""
What a key's values must be: a kind, or a JSON Schema of the operator's own.

The binding of ``key`` is the reserved key ``_schema.<key>`` of the same namespace, a signed record
like any other, so all centers refuse the same values. A schema comes from outside, so it is held
short: it resolves nothing over the network or from files, and its patterns run in linear time.
Messages are masked: what stands in the wrong field may be a secret. In a JSON Schema a property
with ``writeOnly: true`` is secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from client_sdk import kinds
from client_sdk.errors import UnknownKind
from client_sdk.paths import dotted
from client_sdk.sealing import ANY, MARK
from config_center.problems import Problem, invalid
from config_center.problems import schema as schema_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from client_sdk.sealing import FieldPath
    from client_sdk.state import NamespaceState

PREFIX = "_schema."
_MAX_ERRORS = 100
# What the patterns in the kinds mean. The test of this module knows each one that there is.
PATTERNS = {
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": "must be a language tag, as zh or en-US",
    r"^[+-][0-9]{1,3}(%|Hz)$": "must be a sign, a number and % or Hz, as +10% or -5Hz",
    r"^[^*]{0,63}[^*]\*?$|^\*$": "must be an id of up to 64 characters, the beginning of ids with "
    "* at the end, or * alone",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "must be a time of the day, as 03:30",
}
_STAND_IN = "sealed"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a key is bound to. ``kind`` is ``None`` for a schema of one's own."""

    kind: str | None
    json_schema: Any
    secret_paths: tuple[FieldPath, ...]
    destinations: tuple[tuple[FieldPath, FieldPath], ...]
    errors: Callable[[Any], list[dict[str, str]]]

    def check(self, key: str, value: Any) -> None:
        """Raise Problem 422 with every error's path."""
        errors = self.errors(value)
        if errors:
            first = errors[0]
            what = self.kind or "its schema"
            raise schema_problem(
                f"{key} does not fit {what}: {first['path'] or 'the value'}: {first['message']}",
                errors,
                key=key,
            )

    def to_json(self, key: str) -> dict[str, Any]:
        """The answer of ``GET .../schema``."""
        return {"key": key, "kind": self.kind, "json_schema": self.json_schema}


def binding_of(state: NamespaceState, key: str) -> Binding | None:
    """The binding of ``key``; ``None`` when anything may be published."""
    entry = state.entries.get(PREFIX + key)
    if entry is None or entry.content is None or entry.content.body is None:
        return None
    return _compiled(entry.content.body)


def compile_binding(body: dict[str, Any]) -> Binding:
    """``{"kind": NAME}`` or ``{"json_schema": ...}``. Raises Problem 400, 422."""
    if set(body) == {"kind"}:
        try:
            return _of_kind(body["kind"])
        except UnknownKind as error:
            raise invalid(str(error), field="kind") from None
    if set(body) == {"json_schema"}:
        return _of_schema(body["json_schema"])
    raise invalid('send {"kind": NAME} or {"json_schema": {...}}')


def kinds_json() -> list[dict[str, Any]]:
    """All kinds with their schema and secret fields."""
    listed = [kinds.get(name) for name in kinds.KINDS]
    return [
        {
            "kind": kind.name,
            "json_schema": kind.json_schema(),
            "secret_fields": ["/" + "/".join(path) for path in kind.secret_fields()],
        }
        for kind in listed
    ]


@lru_cache(maxsize=1024)
def _compiled(body: bytes) -> Binding:
    return compile_binding(orjson.loads(body))


def _of_kind(name: str) -> Binding:
    kind = kinds.get(name)

    def errors(value: Any) -> list[dict[str, str]]:
        found = kind.validate(value)
        return [{"path": problem.path, "message": _in_words(problem.message)} for problem in found]

    destinations = kind.destinations()
    return Binding(name, kind.json_schema(), kind.secret_fields(), destinations, errors)


def _in_words(message: str) -> str:
    """A pattern is for machines; whoever typed the value reads what it means."""
    for pattern, words in PATTERNS.items():
        message = message.replace(f"text should match pattern '{pattern}'", words)
    return message


def _of_schema(document: Any) -> Binding:
    try:
        validator = jsonschema_rs.validator_for(
            document,
            mask="the value",
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise _unusable(error) from None

    def errors(value: Any) -> list[dict[str, str]]:
        sealed = set(_sealed_places(value, ()))
        found = []
        for error in validator.iter_errors(_opened(value)):
            path = tuple(error.instance_path)
            if any(path[: len(place)] == place for place in sealed):
                continue
            found.append({"path": dotted(path), "message": error.message})
            if len(found) >= _MAX_ERRORS:
                break
        return found

    return Binding(None, document, _Secrets(document).paths(), (), errors)


def _unusable(error: Exception) -> Problem:
    place = dotted(getattr(error, "instance_path", ()))
    message = str(getattr(error, "message", error))[:300]
    return invalid(f"this is not a JSON Schema: {place}: {message}", field="json_schema")


class _Secrets:
    """
    Finds the paths of what a schema marks ``writeOnly``.

    A mark that stands where no path leads (behind a pattern, a condition on names, a reference to
    elsewhere) would leave a secret readable without a word, so such a schema is refused.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self._reached: set[int] = set()
        self._open: set[int] = set()

    def paths(self) -> tuple[FieldPath, ...]:
        """The paths, sorted. Raises Problem 400."""
        found = tuple(sorted(set(self._below(self._document, ()))))
        for place, part in _parts(self._document, ""):
            if part.get("writeOnly") is True and id(part) not in self._reached:
                raise invalid(
                    f"writeOnly at {place or '/'} cannot be followed, so the secret would stay "
                    f"readable; mark it under {', '.join((*_MEMBERS, *_SAME))} or a $ref to #/...",
                    field="json_schema",
                )
        return found

    def _below(self, schema: Any, path: FieldPath) -> Iterator[FieldPath]:
        if not isinstance(schema, dict) or id(schema) in self._open:
            return
        if schema.get("writeOnly") is True:
            self._reached.add(id(schema))
            yield path
            return
        self._open.add(id(schema))
        for part, at in self._next(schema, path):
            yield from self._below(part, at)
        self._open.discard(id(schema))

    def _next(self, schema: dict[str, Any], path: FieldPath) -> Iterator[tuple[Any, FieldPath]]:
        """The schemas below one, each with the path of what it is about."""
        for name, part in _dict(schema.get("properties")).items():
            yield part, (*path, name)
        for word in ("items", "additionalProperties"):
            yield schema.get(word), (*path, ANY)
        for part in _list(schema.get("prefixItems")):
            yield part, (*path, ANY)
        for word in ("allOf", "anyOf", "oneOf"):
            for part in _list(schema.get(word)):
                yield part, path
        for part in (schema.get("then"), schema.get("else"), self._referred(schema)):
            yield part, path
        for part in _dict(schema.get("dependentSchemas")).values():
            yield part, path

    def _referred(self, schema: dict[str, Any]) -> Any:
        """What a reference within the document names."""
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        part = self._document
        for name in reference[1:].split("/")[1:]:
            part = _dict(part).get(name.replace("~1", "/").replace("~0", "~"))
        return part


_MEMBERS = ("properties", "items", "prefixItems", "additionalProperties")
_SAME = ("allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parts(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a document with its place."""
    if isinstance(schema, dict):
        yield place, schema
        for name, part in schema.items():
            yield from _parts(part, f"{place}/{name}")
    elif isinstance(schema, list):
        for at, part in enumerate(schema):
            yield from _parts(part, f"{place}/{at}")


def _sealed_places(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        if MARK in value:
            yield path
            return
        for name, member in value.items():
            yield from _sealed_places(member, (*path, name))
    elif isinstance(value, (list, tuple)):
        for at, member in enumerate(value):
            yield from _sealed_places(member, (*path, at))


def _opened(value: Any) -> Any:
    """The value with a text in the place of every sealed field."""
    if isinstance(value, dict):
        if MARK in value:
            return _STAND_IN
        return {name: _opened(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_opened(member) for member in value]
    return value
