"""How speech becomes text: an OpenAI-compatible endpoint, a model on this host, or an echo."""

from typing import Annotated, Literal

from pydantic import Field

from client_sdk.kinds.base import Kind, Name, SecretText, SentTo, Settings, WebAddress

Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class OpenAi(Settings):
    """``POST {base_url}/audio/transcriptions``; ``language`` as in BCP 47, else detected."""

    type: Literal["openai"]
    base_url: WebAddress
    api_key: Annotated[SecretText, SentTo("base_url")]
    model: Name
    language: Language | None = None


class Local(Settings):
    """FunASR with a model in a directory of the gateway's host."""

    type: Literal["fun_local"]
    model_dir: Name
    language: Language | None = None


class Echo(Settings):
    """Answers with how much was heard."""

    type: Literal["echo"]


KIND = Kind("asr", OpenAi, Local, Echo)
