"""Where a gateway may be sent by what is published. Pure: names and addresses in, a word out.

Whoever may publish the key `llm` chooses where every gateway connects to. Without a guard that is a
way into the network around the gateways: the cloud's metadata service, an admin port on the same
machine. So an address is judged where it is dialled, after the name was looked up, and the socket
goes to exactly the address that was judged: a name that answers differently a moment later (DNS
rebinding) gains nothing, nor do other ways of writing an address (`2130706433`, `[::ffff:7f00:1]`,
`64:ff9b::a9fe:a9fe`), which are all the same by then. Redirects are not followed.

What may be reached is a list: `*` for any host, `api.example.com`, `*.example.com`, `10.0.0.7`,
`10.0.0.0/8`. **This machine, the local link and the metadata services are never meant by a name or
by `*`**: they have to be listed as an address or a network. Without a list it is `*`, and beside it
this machine where devices, too, can only come from there (a developer's machine, `make run`).

Rejected: to refuse private networks (many run their models there; who does not gives a list), and
to look the name up once more by ourselves (the second answer may be another one).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from client_sdk.addresses import Address, unwrapped

ANY: Final = "*"
EVERYWHERE: Final = (ANY,)
AND_THIS_MACHINE: Final = (ANY, "127.0.0.0/8", "::1")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA: Final = tuple(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # Amazon
    )
)
_LONGEST: Final = 253


@dataclass(frozen=True, slots=True)
class Egress:
    """The list, taken apart."""

    anywhere: bool
    names: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, listed: Iterable[str]) -> Egress:
        """
        Read the list.

        Raises:
            ValueError: says which entry is none.
        """
        entries = [entry.strip().lower() for entry in listed]
        networks = {entry: _network(entry) for entry in entries}
        names = tuple(e for e in entries if networks[e] is None and e != ANY)
        for name in names:
            if not _is_name(name.removeprefix("*.")):
                raise ValueError(f"{name[:_LONGEST]!r} is no host, *.name, address or network")
        found = tuple(network for network in networks.values() if network is not None)
        return cls(ANY in entries, names, found)

    def refuses(self, host: str, address: str) -> str | None:
        """
        Why `address`, to which `host` (a name, or the address itself) was looked up, may not be
        dialled; None: it may.
        """
        try:
            at = unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return "that is no address"
        if any(at in network for network in self.networks):
            return None
        if _is_apart(at):
            return "this machine, its link and metadata services must be listed as an address"
        if self.anywhere or self._names(host.lower().rstrip(".")):
            return None
        return "it is not on the list"

    def _names(self, host: str) -> bool:
        return any(
            host.endswith(name[1:]) if name.startswith("*.") else host == name
            for name in self.names
        )


def _is_apart(at: Address) -> bool:
    return (
        at.is_loopback
        or at.is_link_local
        or at.is_multicast
        or at.is_unspecified
        or at.is_reserved
        or at in _METADATA
    )


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"))
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and all(
        part and part.isascii() and part.replace("-", "").isalnum() for part in text.split(".")
    )
