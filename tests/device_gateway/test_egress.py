"""Where providers may be: names, addresses, and all the ways to write them."""

import pytest

from device_gateway.egress import AND_THIS_MACHINE, EVERYWHERE, Egress

APART = [
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1%eth0",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "::7f00:1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
]


@pytest.mark.parametrize("address", APART)
def test_a23_this_machine_its_link_and_metadata_are_never_meant_by_a_name(address):
    for listed in (EVERYWHERE, ("evil.example",), ("*", "*.example")):
        why = Egress.of(listed).refuses("evil.example", address)
        assert why == "this machine, its link and metadata services must be listed as an address"


def test_a23_what_is_apart_may_be_reached_once_its_address_is_listed():
    assert Egress.of(AND_THIS_MACHINE).refuses("localhost", "127.0.0.1") is None
    assert Egress.of(AND_THIS_MACHINE).refuses("localhost", "::1") is None
    assert Egress.of(AND_THIS_MACHINE).refuses("x", "169.254.169.254") is not None
    assert Egress.of(("169.254.0.0/16",)).refuses("x", "::ffff:169.254.1.1") is None


@pytest.mark.parametrize(
    ("listed", "host", "address", "reached"),
    [
        ("*", "api.example.com", "93.184.216.34", True),
        ("*", "10.0.0.7", "10.0.0.7", True),
        ("api.example.com", "API.example.com.", "93.184.216.34", True),
        ("api.example.com", "evil.example.com", "93.184.216.34", False),
        ("api.example.com", "api.example.com.evil", "93.184.216.34", False),
        ("*.example.com", "eu.api.example.com", "93.184.216.34", True),
        ("*.example.com", "evilexample.com", "93.184.216.34", False),
        ("*.example.com", "example.com", "93.184.216.34", False),
        ("10.0.0.0/8", "model.lan", "10.1.2.3", True),
        ("10.0.0.0/8", "model.lan", "192.168.1.1", False),
        ("10.0.0.7", "model.lan", "10.0.0.7", True),
        ("[2001:db8::7]", "model.lan", "2001:db8::7", True),
        ("*", "x", "not an address", False),
    ],
)
def test_a23_only_what_is_listed_is_reached(listed, host, address, reached):
    assert (Egress.of([listed]).refuses(host, address) is None) is reached


@pytest.mark.parametrize(
    "entry", ["", "http://x", "a b", "*.", "x*", "*.*", "10.0.0.0/99", "a" * 300]
)
def test_an_entry_that_is_none_is_refused(entry):
    with pytest.raises(ValueError, match="is no host"):
        Egress.of([entry])
