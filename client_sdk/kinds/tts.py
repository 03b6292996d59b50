"""How answers become sound: an OpenAI-compatible endpoint, Edge voices, or not at all."""

from typing import Annotated, Literal

from pydantic import Field

from client_sdk.kinds.base import Kind, Name, SecretText, SentTo, Settings, WebAddress

Adjustment = Annotated[str, Field(pattern=r"^[+-][0-9]{1,3}(%|Hz)$")]


class OpenAi(Settings):
    """``POST {base_url}/audio/speech``."""

    type: Literal["openai"]
    base_url: WebAddress
    api_key: Annotated[SecretText, SentTo("base_url")]
    model: Name
    voice: Name
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0


class Edge(Settings):
    """Microsoft Edge's online voices; adjustments as ``+10%`` or ``-5Hz``."""

    type: Literal["edge"]
    voice: Name = "zh-CN-XiaoxiaoNeural"
    rate: Adjustment = "+0%"
    volume: Adjustment = "+0%"
    pitch: Adjustment = "+0Hz"


class Echo(Settings):
    """Text only; nothing is spoken."""

    type: Literal["echo"]


KIND = Kind("tts", OpenAi, Edge, Echo)
