"""What a provider of answers can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol


class Llm(Protocol):
    """A language model behind some API. One instance serves many conversations at once."""

    def stream(self, messages: Sequence[dict[str, str]]) -> AsyncGenerator[str, None]:
        """The answer to the messages, piece by piece; raises ProviderFailed."""
        ...

    async def probe(self) -> None:
        """Return when the provider is able to answer; raises ProviderFailed."""
        ...

    async def close(self) -> None:
        """Release what the provider holds; nobody streams from it any more."""
        ...
