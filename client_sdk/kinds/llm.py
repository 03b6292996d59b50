"""The language model that answers: an OpenAI-compatible endpoint, or one that says it echoes."""

from typing import Annotated, Literal

from pydantic import Field

from client_sdk.kinds.base import Kind, Name, SecretText, SentTo, Settings, WebAddress


class OpenAi(Settings):
    """Chat completions at ``base_url``; ``timeout_seconds`` is for one whole answer."""

    type: Literal["openai"]
    base_url: WebAddress
    api_key: Annotated[SecretText, SentTo("base_url")]
    model: Name
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    timeout_seconds: Annotated[float | None, Field(gt=0, le=600)] = None


class Echo(Settings):
    """Answers with what was said."""

    type: Literal["echo"]


KIND = Kind("llm", OpenAi, Echo)
