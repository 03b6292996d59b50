"""What a device says when a conversation begins: a text; empty says nothing."""

from typing import Annotated

from pydantic import Field

from client_sdk.kinds.base import Kind

KIND = Kind("greeting", Annotated[str, Field(strict=True, max_length=1_024)])
