"""Words that are replaced before they are spoken, small enough to be a value."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from client_sdk.kinds.base import Kind, Name, Settings

Spoken = Annotated[str, StringConstraints(max_length=256)]


class Words(Settings):
    """``words``: as written -> as spoken; the longest match wins."""

    type: Literal["words"]
    words: Annotated[dict[Name, Spoken], Field(max_length=10_000)]


class Nothing(Settings):
    """Every word as it is."""

    type: Literal["none"]


KIND = Kind("lexicon", Words, Nothing)
