"""Stores, by the scheme of their URL: a new medium is a new file and a line in this table."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from client_sdk.errors import SettingInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from config_center.store.base import Retention, Store


def _redis(url: str, retention: Retention, replicas: int) -> Store:
    from config_center.store.redis import RedisStore

    return RedisStore(url, retention, replicas=replicas)


def _memory(url: str, retention: Retention, replicas: int) -> Store:  # the table's signature
    from config_center.store.memory import MemoryStore

    return MemoryStore()


STORES: dict[str, Callable[[str, Retention, int], Store]] = {
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
    "memory": _memory,
}


def open_store(url: str, retention: Retention, replicas: int = 0) -> Store:
    """
    The store behind a URL, not connected yet; ``replicas`` have to have a change before it counts.
    Raises SettingInvalid for an unknown scheme.
    """
    scheme = urlsplit(url).scheme
    make = STORES.get(scheme)
    if make is None:
        raise SettingInvalid(
            f"a store of scheme {scheme!r} is not known; use one of {', '.join(STORES)}"
        )
    return make(url, retention, replicas)
