"""Transports by the scheme of a URL: a new medium is a new file and a line in this table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client_sdk.errors import SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.settings import Address
    from client_sdk.transports.base import Transport


def _redis(address: Address, ns: str, token: str | None, timeout: float) -> Transport:
    from client_sdk.transports.redis import RedisTransport

    del token  # who may read is Redis's own business
    return RedisTransport(address.url, ns, timeout)


def _http(address: Address, ns: str, token: str | None, timeout: float) -> Transport:
    from client_sdk.transports.http import HttpTransport

    confirmed = address.loopback or address.scheme == "https"
    return HttpTransport(address.url, ns, token, confirmed=confirmed, timeout=timeout)


def _memory(address: Address, ns: str, token: str | None, timeout: float) -> Transport:
    from client_sdk.transports.memory import MemoryTransport

    del ns, token, timeout  # its far end has one namespace, trusts everybody and never waits
    return MemoryTransport(address.url.partition("://")[2])


TRANSPORTS: dict[str, Callable[[Address, str, str | None, float], Transport]] = {
    "http": _http,
    "https": _http,
    "memory": _memory,
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
}


def open_transport(address: Address, ns: str, token: str | None, timeout: float) -> Transport:
    """The transport for an address, not connected yet. Raises SettingInvalid."""
    make = TRANSPORTS.get(address.scheme)
    if make is None:
        raise SettingInvalid(f"{address.scheme} is not supported; use {', '.join(TRANSPORTS)}")
    return make(address, ns, token, timeout)
