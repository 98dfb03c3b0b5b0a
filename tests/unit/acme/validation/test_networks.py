"""Validations reach configured networks only, and some addresses never."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.acme.validation.networks import ReachableNetworks, never_reached

EVERYTHING = ReachableNetworks([ip_network("0.0.0.0/0"), ip_network("::/0")])
SOME = ReachableNetworks([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])

NEVER = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "::/128",
    "::1/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::254/128",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
]


def inside(network):
    """Addresses of a network, as text."""
    first = int(network.network_address)
    kind = IPv4Address if network.version == 4 else IPv6Address
    numbers = st.integers(first, first + network.num_addresses - 1)
    return numbers.map(lambda number: str(kind(number)))


@pytest.mark.parametrize("network", NEVER)
def test_no_address_of_a_refused_network_is_permitted_whatever_is_configured(network):
    @given(inside(ip_network(network)))
    def check(text):
        assert not EVERYTHING.is_permitted(ip_address(text))

    check()


@given(inside(ip_network("0.0.0.0/0")), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "::{}"]))
def test_no_ipv4_address_is_reached_through_ipv6(text, form):
    assert not EVERYTHING.is_permitted(ip_address(form.format(text)))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "2001:0:a9fe:a9fe::1",
        "fe80::1%eth0",
        "2001:db8::1%eth0",
        "2001:db8::5efe:7f00:1",
        "2001:db8::200:5efe:a9fe:a9fe",
    ],
)
def test_dangerous_addresses_are_never_reached(text):
    assert never_reached(ip_address(text)) is not None
    assert not EVERYTHING.is_permitted(ip_address(text))


@pytest.mark.parametrize(
    ("text", "permitted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("192.168.1.1", False),
    ],
)
def test_only_configured_networks_are_reached(text, permitted):
    assert SOME.is_permitted(ip_address(text)) is permitted


def test_without_configured_networks_nothing_is_reached():
    assert not ReachableNetworks([]).is_permitted(ip_address("10.1.2.3"))


def test_addresses_of_the_service_are_not_reached():
    assert not SOME.is_permitted(ip_address("10.1.2.3"), own=[ip_address("10.1.2.3")])


def test_addresses_of_this_machine_are_not_reached():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # No packet is sent: the kernel only chooses the address.
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    everything = "of this machine, or the machine may use any (ip_nonlocal_bind)"
    assert never_reached(ip_address(own)) is None
    assert EVERYTHING.refusal(ip_address(own)) == everything
