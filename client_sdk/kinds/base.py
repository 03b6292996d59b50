"""
What a kind is: a closed shape, its secret fields, and what is wrong with a value, in sentences.

A value is checked in JSON form and strictly (``"0.5"`` is no number). A secret field may hold a
sealed object instead of its text (client_sdk.sealing); it stands for a text that nobody here can
read, so a placeholder takes its place while the rest is checked. Nowhere else is one accepted.

**Messages never show what was found**, only where, and what belongs there: what stands in the wrong
field may be a key. The names of unknown fields are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from client_sdk.errors import InvalidValue
from client_sdk.paths import dotted
from client_sdk.suggestions import did_you_mean
from client_sdk.values import thaw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    FieldPath = tuple[str, ...]

MASK = "***"
ANY = "*"  # in a secret path: every element or member, as in client_sdk.sealing
SEALED = "$sealed"
_STAND_IN = "sealed"


class _Secret:
    """The marker in an annotation: this text is a secret."""


@dataclass(frozen=True, slots=True)
class SentTo:
    """
    The marker that says where a secret goes: the field beside it that holds the address. Whoever
    changes the address's host has to send the secret again (config_center.secrets.destinations).
    """

    field: str


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and parts.hostname and text.isprintable()
        closed = "@" in parts.netloc or parts.query or parts.fragment or " " in text
        _ = parts.port  # raises for a port that is none
    except ValueError:
        sound, closed = False, False
    if not sound:
        raise ValueError("must be an http:// or https:// address")
    if closed:
        raise ValueError("must be an address without user, query, fragment or blanks")
    return text


SecretText = Annotated[
    str,
    StringConstraints(max_length=4096),
    Field(json_schema_extra={"writeOnly": True, "format": "password"}),
    _Secret(),
]
WebAddress = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_web_address)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Settings(BaseModel):
    """The base of every shape: closed, strict, and not to be changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where (``.devices.list[3]``, empty for the whole) and what."""

    path: str
    message: str


class Kind:
    """
    A named shape: one model, several that the member ``type`` tells apart, or a text.

    ``Kind("vad", Silero, Nothing)`` or ``Kind("prompt", Annotated[str, ...])``.
    """

    def __init__(self, name: str, *shapes: Any) -> None:
        self.name = name
        self._models = {
            get_args(shape.model_fields["type"].annotation)[0]: shape
            for shape in shapes
            if len(shapes) > 1
        }
        shape: Any = shapes[0]
        if self._models:
            shape = Annotated[Union[shapes], Field(discriminator="type")]  # noqa: UP007 (a tuple)
        self._shape = shape
        self._adapter: TypeAdapter[Any] = TypeAdapter(shape)
        self._secrets = tuple(sorted(set(_secret_paths(shape, ()))))
        self._destinations = tuple(sorted(set(_destinations(shape, ()))))

    def secret_fields(self) -> tuple[FieldPath, ...]:
        """The paths of secret fields, ``*`` for any member: what is sealed and never shown."""
        return self._secrets

    def destinations(self) -> tuple[tuple[FieldPath, FieldPath], ...]:
        """Secret fields that are sent somewhere, each with the field that says where to."""
        return self._destinations

    def json_schema(self) -> dict[str, Any]:
        """The shape as JSON Schema 2020-12."""
        return self._adapter.json_schema() | {"title": self.name}

    def validate(self, value: Any) -> list[Problem]:
        """All that is wrong with a JSON value, sealed or opened; an empty list when nothing is."""
        try:
            self._adapter.validate_json(orjson.dumps(_stand_in(value, self._secrets)))
        except ValidationError as error:
            return [
                self._problem(found)
                for found in error.errors(include_url=False, include_input=False)
            ]
        return []

    def load(self, value: Any) -> Any:
        """
        The settings of an opened value, defaults filled in: a frozen model, or the text.

        Raises InvalidValue with the first problem; a field that is still sealed is one.
        """
        try:
            return self._adapter.validate_json(orjson.dumps(value))
        except ValidationError as error:
            first = self._problem(error.errors(include_url=False, include_input=False)[0])
            raise InvalidValue(first.message, first.path) from None  # the cause shows the value

    def masked(self, value: Any) -> Any:
        """``value`` to show: secrets as ``***``, sealed ones by their fingerprint alone."""
        return _at_paths(value, self._secrets, _shown)

    def _problem(self, found: Mapping[str, Any]) -> Problem:
        place, code = found["loc"], found["type"]
        if code in ("union_tag_invalid", "union_tag_not_found"):
            return Problem(".type", f"must be one of {', '.join(self._models)}")
        shape = self._shape
        if self._models and place:
            shape, place = self._models[place[0]], place[1:]  # pydantic puts the tag in front
        if code == "extra_forbidden":
            hint = did_you_mean(str(place[-1]), _field_names(shape))
            return Problem(dotted(place), f"there is no such field{hint}")
        if code == "missing":
            return Problem(dotted(place), "is missing")
        return Problem(dotted(place), _sentence(found))


def masked(kind: Kind, value: Any) -> Any:
    """The same as :meth:`Kind.masked`."""
    return kind.masked(value)


def _sentence(found: Mapping[str, Any]) -> str:
    text: str = found["msg"].removeprefix("Value error, ")
    return text.replace("Input should be", "must be").replace("String should", "text should")


def _secret_paths(shape: Any, path: FieldPath) -> Iterator[FieldPath]:
    """Every path of ``shape`` whose annotation has the marker."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, field in shape.model_fields.items():
            if any(isinstance(mark, _Secret) for mark in field.metadata):
                yield (*path, name)
            else:
                yield from _secret_paths(field.annotation, (*path, name))
    elif get_origin(shape) is Annotated and any(
        isinstance(mark, _Secret) for mark in get_args(shape)
    ):
        yield path
    else:
        below = (*path, ANY) if get_origin(shape) in (tuple, list, dict) else path
        for part in get_args(shape):
            yield from _secret_paths(part, below)


def _destinations(shape: Any, path: FieldPath) -> Iterator[tuple[FieldPath, FieldPath]]:
    """Every (secret, address) of ``shape``."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, field in shape.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, SentTo):
                    yield (*path, name), (*path, mark.field)
            yield from _destinations(field.annotation, (*path, name))
    below = (*path, ANY) if get_origin(shape) in (tuple, list, dict) else path
    for part in get_args(shape):
        yield from _destinations(part, below)


def _field_names(shape: Any) -> Iterator[str]:
    """The names of all fields of ``shape`` and of what is in it."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, field in shape.model_fields.items():
            yield name
            yield from _field_names(field.annotation)
    for part in get_args(shape):
        yield from _field_names(part)


def _stand_in(value: Any, secrets: tuple[FieldPath, ...]) -> Any:
    return _at_paths(value, secrets, lambda found: _STAND_IN if _is_sealed(found) else found)


def _is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == [SEALED] and isinstance(value[SEALED], dict)


def _shown(value: Any) -> Any:
    if value is None:
        return None
    return {SEALED: {"fp": value[SEALED].get("fp")}} if _is_sealed(value) else MASK


def _at_paths(value: Any, paths: tuple[FieldPath, ...], change: Callable[[Any], Any]) -> Any:
    if not paths:
        return value
    plain = thaw(value)
    for path in paths:
        _change_at(plain, path, change)
    return plain


def _change_at(value: Any, path: FieldPath, change: Callable[[Any], Any]) -> None:
    for at in _places(value, path[0]):
        if len(path) == 1:
            value[at] = change(value[at])
        else:
            _change_at(value[at], path[1:], change)


def _places(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return list(range(len(value))) if name == ANY else []
    if not isinstance(value, dict):
        return []
    return list(value) if name == ANY else [name] * (name in value)
