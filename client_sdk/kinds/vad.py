"""How the end of speech is found: Silero's model, or not at all (the device says when)."""

from typing import Annotated, Literal

from pydantic import Field

from client_sdk.kinds.base import Kind, Name, Settings

Probability = Annotated[float, Field(gt=0, lt=1)]


class Silero(Settings):
    """Speech begins above ``threshold`` and ends below ``threshold_low`` for the given silence."""

    type: Literal["silero"]
    model_dir: Name = "models/snakers4_silero-vad"
    threshold: Probability = 0.5
    threshold_low: Probability = 0.3
    min_silence_duration_ms: Annotated[int, Field(ge=50, le=10_000)] = 200


class Nothing(Settings):
    """No detection."""

    type: Literal["none"]


KIND = Kind("vad", Silero, Nothing)
