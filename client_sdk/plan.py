"""What a client was asked to be, and how it is."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Keks, KekSource, open_source
from client_sdk.keks.base import Kek
from client_sdk.settings import ClientSettings, check_instance, check_namespace, parse_urls
from client_sdk.transports import open_transport
from client_sdk.trust_store import MeetingPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client_sdk.records import Position
    from client_sdk.route import Pace
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
    secret_key: Keks | KekSource = field(repr=False)  # it may hold the keys themselves
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
        secret_key: str | Path | Kek | Keks | None,
        state: str | Path | None,
        timeout: float,
        defaults: Mapping[str, Any] | None,
        timing: Timing,
        pace: Pace,
        report_every: float,
    ) -> Plan:
        """What was given; the environment says the rest. Raises SettingInvalid."""
        environment = ClientSettings.from_environment()
        name = check_instance(instance or platform.node().lower())
        ns = check_namespace(namespace or environment.namespace)
        return cls(
            addresses=parse_urls(url) if url else environment.urls,
            namespace=ns,
            instance=name,
            labels=dict(labels or {}),
            token=token or environment.token,
            trust=trust or environment.trust,
            secret_key=_secret_key(secret_key, environment.secret_key),
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

    def keks(self) -> Keks:
        """
        What opens sealed values. A file is read each time, so one that was exchanged counts at
        once; a command was asked at the start (:meth:`ask_command`). Raises SettingInvalid.
        """
        source = self.secret_key
        return source if isinstance(source, Keks) else source.read()

    def kek_ids(self) -> tuple[str, ...]:
        """Their names; none where they cannot be read: whoever opens something says so."""
        try:
            return self.keks().ids
        except SettingInvalid:
            return ()

    def ask_command(self) -> Plan:
        """This plan with the keys that its command prints, if it has one. Blocks."""
        source = self.secret_key
        if isinstance(source, Keks) or source.kind != "command":
            return self
        return replace(self, secret_key=source.hurried(self.timeout).read())


def _secret_key(given: str | Path | Kek | Keks | None, told: KekSource | None) -> Keks | KekSource:
    if isinstance(given, (str, Path)) and str(given):
        return open_source("file", str(given), "secret_key")
    if isinstance(given, (Kek, Keks)):
        return Keks.of(given)
    return told or Keks()
