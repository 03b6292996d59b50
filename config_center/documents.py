"""
The author's text becomes a value, once, at the door.

YAML is 1.2, one document, and what makes one text mean different things to different readers is
refused: aliases (a kilobyte that unfolds to gigabytes), tags, merge keys, directives (``%YAML 1.1``
turns ``no`` into false) and duplicate names. Whatever comes out must be JSON: a date is a text in
quotes. Depth is counted on events, before anything is built.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    ScalarEvent,
)

from client_sdk.bodies import FORMATS
from client_sdk.errors import InvalidValue
from client_sdk.suggestions import did_you_mean
from client_sdk.values import check_limits

if TYPE_CHECKING:
    from collections.abc import Callable


def parse_text(form: str, text: str, depth: int) -> Any:
    """The value of a ``yaml``, ``toml`` or ``text`` document. Raises InvalidValue."""
    return check_limits(_PARSERS[form](text, depth), depth)


def check_format(form: str) -> None:
    """Raise InvalidValue for a format that does not exist."""
    if form not in FORMATS:
        hint = did_you_mean(form, FORMATS) or f"; there are {', '.join(FORMATS)}"
        raise InvalidValue(f"there is no format {form[:64]!r}{hint}")


def _yaml(text: str, depth: int) -> Any:
    try:
        _check_events(text, depth)
        return YAML(typ="safe", pure=True).load(text)
    except InvalidValue:  # a ValueError too
        raise
    except DuplicateKeyError as error:
        raise InvalidValue(f"{_place(error)}a name stands twice in one mapping") from None
    except MarkedYAMLError as error:
        raise InvalidValue(
            f"{_place(error)}this is not YAML: {error.problem or 'unreadable'}"
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InvalidValue(f"this is not YAML: {type(error).__name__}") from None


def _check_events(text: str, depth: int) -> None:
    level = documents = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, CollectionEndEvent):
            level -= 1
        elif isinstance(event, CollectionStartEvent):
            level += 1
        elif isinstance(event, DocumentStartEvent):
            documents += 1
        if level > depth:
            raise InvalidValue(f"line {line}: the value is more than {depth} levels deep")
        if documents > 1:
            raise InvalidValue(f"line {line}: send one document, not several")
        _check_event(event, line)


def _check_event(event: Any, line: int) -> None:
    if isinstance(event, AliasEvent):
        raise InvalidValue(f"line {line}: aliases (*name) are not taken; write the value out")
    if isinstance(event, DocumentStartEvent) and (event.version or event.tags):
        raise InvalidValue(f"line {line}: directives are not taken; this is YAML 1.2")
    if getattr(event, "tag", None) is not None:
        raise InvalidValue(f"line {line}: tags (!name) are not taken")
    if isinstance(event, ScalarEvent) and event.style is None and event.value == "<<":
        raise InvalidValue(f"line {line}: merge keys (<<) are not taken; write the members out")


def _place(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    return "" if mark is None else f"line {mark.line + 1} column {mark.column + 1}: "


def _toml(text: str, _depth: int) -> Any:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InvalidValue(f"this is not TOML: {error}") from None


_PARSERS: dict[str, Callable[[str, int], Any]] = {
    "yaml": _yaml,
    "toml": _toml,
    "text": lambda text, _depth: text,
}
