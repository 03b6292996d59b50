"""
Where the key-encryption keys come from: a file, what a command prints, or a text.

One form everywhere: a line ``ID BASE64`` for each key, the first seals, every one of them opens. So
a key is exchanged by giving everybody a file with both, the new one last, and only then telling the
centers to seal with it (docs/operating.md). A new place is a file here and a line in the table.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from client_sdk.errors import SettingInvalid
from client_sdk.keks.base import Kek as Kek
from client_sdk.keks.base import Keks as Keks
from client_sdk.keks.base import KekSource as KekSource

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES: Final[Mapping[str, str]] = {
    "file": "client_sdk.keks.file",
    "command": "client_sdk.keks.command",
    "text": "client_sdk.keks.text",
}


def source_of(given: Mapping[str, str | None], names: Mapping[str, str]) -> KekSource | None:
    """
    The one source of ``given`` (by the names of :data:`SOURCES`) that is set; None: none is.

    ``names`` are the settings by which people know them. Raises SettingInvalid for two.
    """
    chosen = [name for name in SOURCES if given.get(name)]
    if len(chosen) > 1:
        both = " and ".join(names[name] for name in chosen)
        raise SettingInvalid(f"{both} are both set; keep one of them")
    return open_source(chosen[0], str(given[chosen[0]]), names[chosen[0]]) if chosen else None


def open_source(kind: str, value: str, name: str) -> KekSource:
    """The source of a kind; ``name`` is how people know it."""
    made: KekSource = import_module(SOURCES[kind]).SOURCE(value, name)
    return made
