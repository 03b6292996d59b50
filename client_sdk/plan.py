"""What a client was asked to be, and how it is."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client_sdk.settings import ClientSettings, check_namespace, parse_urls
from client_sdk.transports import open_transport
from client_sdk.trust_store import MeetingPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.records import Position
    from client_sdk.route import Pace
    from client_sdk.sealing import Kek
    from client_sdk.settings import Address
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

    addresses: tuple[Address, ...]
    namespace: str
    instance: str
    labels: dict[str, Any]
    token: str | None = field(repr=False)
    trust: str | None
    secret_key: str | Path | Kek | None = field(repr=False)  # it may be the key itself
    state: Path
    timeout: float
    defaults: dict[str, Any]
    timing: Timing
    pace: Pace
    report_every: float

    @classmethod
    def complete(
        cls,
        *,
        url: str | None,
        namespace: str | None,
        instance: str | None,
        labels: Mapping[str, Any] | None,
        token: str | None,
        trust: str | None,
        secret_key: str | Path | Kek | None,
        state: str | Path | None,
        timeout: float,
        defaults: Mapping[str, Any] | None,
        timing: Timing,
        pace: Pace,
        report_every: float,
    ) -> Plan:
        """What was given; the environment says the rest. Raises SettingInvalid."""
        environment = ClientSettings.from_environment()
        name = instance or platform.node().lower()
        ns = check_namespace(namespace or environment.namespace)
        return cls(
            addresses=parse_urls(url) if url else environment.urls,
            namespace=ns,
            instance=name,
            labels=dict(labels or {}),
            token=token or environment.token,
            trust=trust or environment.trust,
            secret_key=secret_key or environment.secret_key_file,
            state=Path(state) if state else environment.state_directory(ns, name),
            timeout=timeout,
            defaults=dict(defaults or {}),
            timing=timing,
            pace=pace,
            report_every=report_every,
        )

    def transports(self) -> list[Callable[[], Transport]]:
        """What makes a transport, one for each address."""

        def maker(address: Address) -> Callable[[], Transport]:
            return lambda: open_transport(address, self.namespace, self.token, self.timing.answer)

        return [maker(address) for address in self.addresses]

    def meeting_places(self) -> list[MeetingPlace]:
        """The same paths as places to learn whom to trust at."""
        pairs = zip(self.addresses, self.transports())  # noqa: B905  # made of the same tuple
        return [
            MeetingPlace(make, proves_itself=address.loopback or address.scheme == "https")
            for address, make in pairs
        ]

    def kek(self) -> Kek | None:
        """What opens sealed values, if it was given. Raises SettingInvalid."""
        from client_sdk.sealing import Kek

        if self.secret_key is None or isinstance(self.secret_key, Kek):
            return self.secret_key
        return Kek.load(Path(self.secret_key))
