"""One machine is written in many ways, and judged in one."""

from __future__ import annotations

import ipaddress

import pytest

from client_sdk.addresses import network_of, unwrapped


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:7f00:1::", "127.0.0.1"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "127.0.0.1"),
        ("::127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "::"),
        ("2606:4700::1111", "2606:4700::1111"),
    ],
)
def test_what_an_address_carries_inside_is_what_is_meant(written: str, meant: str) -> None:
    assert str(unwrapped(ipaddress.ip_address(written))) == meant


@pytest.mark.parametrize(
    ("written", "whose"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("gateway.example", None),
        ("", None),
    ],
)
def test_an_address_belongs_to_its_host_or_to_its_network(written: str, whose: str | None) -> None:
    assert network_of(written) == whose
