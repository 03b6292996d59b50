"""What a client was asked to be, and how it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client_sdk.settings import parse_urls
from client_sdk.transports import open_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from client_sdk.records import Position
    from client_sdk.sealing import Kek
    from client_sdk.settings import ClientSettings
    from client_sdk.steps import Timing
    from client_sdk.transports.base import Transport


@dataclass(frozen=True, slots=True)
class Status:
    """
    How the client is. ``stale``: what is served was not confirmed as the present lately;
    ``transport`` is ``None`` while no path works; ``durable`` is false when the disk refuses;
    ``held`` are keys whose older version serves because the newer was refused.
    """

    position: Position
    stale: bool
    transport: str | None = None
    confirmed_seconds_ago: float | None = None
    fork: bool = False
    center_silent: bool = False
    tampered: bool = False
    durable: bool = True
    held: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that :meth:`Client.connect` was given, completed from the environment."""

    environment: ClientSettings
    url: str | None
    namespace: str
    instance: str
    labels: dict[str, Any]
    token: str | None
    trust: str | None
    secret_key: str | Path | Kek | None
    state: Path
    timeout: float
    defaults: dict[str, Any]
    timing: Timing
    report_every: float

    def addresses(self) -> Any:
        return parse_urls(self.url) if self.url else self.environment.urls

    def transports(self) -> list[Callable[[], Transport]]:
        def maker(address: Any) -> Callable[[], Transport]:
            return lambda: open_transport(address, self.namespace, self.token, self.timeout)

        return [maker(address) for address in self.addresses()]

    def kek(self) -> Kek | None:
        from client_sdk.sealing import Kek

        if self.secret_key is None or isinstance(self.secret_key, Kek):
            return self.secret_key
        return Kek.load(Path(self.secret_key))
