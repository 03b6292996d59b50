"""Real builders for the module kinds. A new provider is a file and one line in `LLMS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from device_gateway.egress import Egress
from device_gateway.errors import ProviderFailed
from device_gateway.providers import echo, openai
from device_gateway.providers.base import Llm

LLMS: Final[Mapping[str, Callable[[Mapping[str, Any], Egress], Awaitable[Llm]]]] = {
    "echo": echo.build,
    "openai": openai.build,
}


async def build_llm(
    settings: Mapping[str, Any], previous: Llm | None = None, *, egress: Egress
) -> Llm:
    """Build the provider that `settings["type"]` names. Touches no network.

    Raises:
        ProviderFailed: no such type, or a setting that cannot be used.
    """
    kind = settings.get("type")
    build = LLMS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise ProviderFailed("settings", f"llm.type must be one of {', '.join(sorted(LLMS))}")
    return await build(settings, egress)


async def probe_llm(llm: Llm) -> bool:
    """True: the provider can answer. Raises ProviderFailed with a redacted reason."""
    await llm.probe()
    return True


async def close_llm(llm: Llm) -> None:
    """Give its connections back."""
    await llm.close()
