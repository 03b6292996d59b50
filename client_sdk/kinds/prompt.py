"""What the language model is told before every conversation: a text."""

from typing import Annotated

from pydantic import Field

from client_sdk.kinds.base import Kind

KIND = Kind("prompt", Annotated[str, Field(strict=True, min_length=1, max_length=65_536)])
