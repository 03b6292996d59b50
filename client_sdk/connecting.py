"""A connection that can be awaited, or entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from client_sdk.client import Client


class Connecting:
    """What :meth:`Client.connect` gives: await it, or enter it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, Client]:
        return self._connect().__await__()

    async def _connect(self) -> Client:
        await self._client.open()
        return self._client

    async def __aenter__(self) -> Client:
        return await self._connect()

    async def __aexit__(self, kind: object, error: BaseException | None, at: object) -> None:
        await self._client.__aexit__(kind, error, at)
