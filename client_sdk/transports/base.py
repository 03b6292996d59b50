"""
How records move: one link to a center's news, whichever medium it is.

A transport connects, subscribes, hands over what arrives, and answers reads. It decides nothing and
verifies nothing: the replica does. Its one promise is about trouble: whatever goes wrong, also a
medium that reconnects behind one's back, comes out as :class:`~client_sdk.errors.TransportDown` or
as another :class:`Subscribed`, never as silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.image import Image, Ring
    from client_sdk.records import Position, Record


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The subscription is confirmed, the first time or again: something may have been missed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A message: the frame of a record or of a beat, unverified."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to :meth:`Transport.ping`."""


Event = Subscribed | Frame | Pong


class Transport(ABC):
    """
    One link, owned and driven by a client. Every method raises TransportDown when the link is gone.

    ``confirmed``: the path itself proves that what it shows is the present (the center over TLS, or
    on this machine).
    """

    name: str
    confirmed: bool = False

    @abstractmethod
    async def open(self) -> None:
        """Connect and subscribe; the first event is Subscribed."""

    @abstractmethod
    async def receive(self) -> Event:
        """The next event. Cancelling it loses nothing."""

    @abstractmethod
    async def ping(self) -> None:
        """Ask the same connection for a sign of life; Pong comes as an event."""

    @abstractmethod
    async def read_log(self, after: Position) -> list[Record] | None:
        """Records after a position, oldest first; ``None`` when the log does not reach back."""

    @abstractmethod
    async def read_image(self) -> Image:
        """
        The whole namespace, with the bodies that were there. Raises NotVerified for bytes that are
        none.
        """

    @abstractmethod
    async def read_bodies(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """Bodies by hash; those that are gone are left out."""

    @abstractmethod
    async def read_trust(self) -> bytes:
        """The list of signing keys, unverified."""

    @abstractmethod
    async def read_ring(self) -> Ring:
        """The wrapped data keys."""

    @abstractmethod
    async def send_report(self, instance: str, frame: bytes) -> None:
        """Hand over a signed report."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything; never raises."""
