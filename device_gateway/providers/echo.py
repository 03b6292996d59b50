"""Providers that need nothing and say so: an echo is honest where a canned answer would lie."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from device_gateway.egress import Egress


class EchoLlm:
    """Repeats the last words of the person, marked as an echo."""

    async def stream(self, messages: Sequence[dict[str, str]]) -> AsyncGenerator[str, None]:
        """One piece: `echo: ` and what was said."""
        yield f"echo: {messages[-1]['content']}"

    async def probe(self) -> None:
        """An echo can always answer."""

    async def close(self) -> None:
        """An echo holds nothing."""


async def build(settings: Mapping[str, Any], egress: Egress) -> EchoLlm:
    """Build from `{"type": "echo"}`."""
    return EchoLlm()


def transcribe(frames: int, milliseconds: int) -> str:
    """What stands in for speech recognition: the truth about what arrived."""
    seconds = milliseconds / 1000
    return f"[echo asr: {frames} audio frames, {seconds:.2f} s; no speech recognition is set up]"
