"""
Kinds: what the settings of a module may be. A new kind is a file with a ``KIND`` and a line here.

Nothing here loads pydantic; a kind's file does, at its first use.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from client_sdk.errors import UnknownKind
from client_sdk.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client_sdk.kinds.base import Kind

KINDS: Final[Mapping[str, str]] = {
    "llm": "client_sdk.kinds.llm",
    "tts": "client_sdk.kinds.tts",
    "asr": "client_sdk.kinds.asr",
    "vad": "client_sdk.kinds.vad",
    "lexicon": "client_sdk.kinds.lexicon",
    "prompt": "client_sdk.kinds.prompt",
    "greeting": "client_sdk.kinds.greeting",
    "gateway": "client_sdk.kinds.gateway",
}

TEMPLATES: Final[Mapping[str, Mapping[str, str]]] = {"gateway": {name: name for name in KINDS}}
"""Template of a namespace -> its keys and their kinds."""


@cache
def get(name: str) -> Kind:
    """The kind of this name. Raises UnknownKind with the nearest names."""
    if name not in KINDS:
        hint = did_you_mean(name, KINDS) or f"; there are {', '.join(KINDS)}"
        raise UnknownKind(f"there is no kind {name[:64]!r}{hint}")
    kind: Kind = import_module(KINDS[name]).KIND
    return kind
