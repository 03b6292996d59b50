"""
Internet addresses as they count: whose a connection is, and where it really goes. Pure.

One machine may be written in many ways. A socket that listens on both families shows IPv4 as
``::ffff:10.0.0.1``; several kinds of IPv6 address carry an IPv4 one inside, to which a router or
the kernel sends what was meant for them. Whoever judges an address judges what is inside.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # the oldest form, RFC 4291; ::1 is none of it
_LOCAL = 256  # ::0 to ::ff mean what they are


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return inner
    if address.teredo is not None:
        return address.teredo[1]
    number = int(address)
    if address in _TRANSLATED or (address in _COMPATIBLE and number >= _LOCAL):
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return address


def network_of(text: str) -> str | None:
    """
    Whose an address is: an IPv4 address is its own, of IPv6 the network of 64 bits counts, because
    every host has 2^64 addresses in it. None for what is no address.
    """
    try:
        address = unwrapped(ipaddress.ip_address(text))
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
