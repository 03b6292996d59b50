"""
How a value lies in a body, by its format.

``json`` is the canonical JSON of the value, ``text`` the text itself in UTF-8. ``yaml`` and
``toml`` are parsed once, at the center's door, and stored as ``{"text": .., "value": ..}``:
the author's text is kept as given, and an SDK needs no parser for either (two parsers that
disagree on ``on`` or ``1_000`` would split a fleet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from client_sdk.errors import NotVerified

if TYPE_CHECKING:
    from client_sdk.contents import Content

FORMATS = ("json", "yaml", "toml", "text")


def encode_body(value: Any, form: str, text: str | None = None) -> bytes:
    """The stored bytes of ``value`` in ``form``; ``text`` is the author's, for yaml and toml."""
    if form == "text":
        return str(value).encode("utf-8")
    if form in ("yaml", "toml"):
        value = {"text": text, "value": value}
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def decode_body(content: Content) -> tuple[Any, str | None]:
    """
    (value, the author's text or ``None`` for json) of a content whose body is at hand.

    Raises NotVerified when the body is not of its format (it was signed so: refuse the change).
    """
    body = content.body
    if body is None:
        raise NotVerified(f"the body {content.sha256} was not fetched")
    try:
        if content.format == "text":
            text = body.decode("utf-8")
            return text, text
        plain = orjson.loads(body)
        if content.format == "json":
            return plain, None
        return plain["value"], plain["text"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotVerified(f"a body of format {content.format} cannot be read: {error}") from error
