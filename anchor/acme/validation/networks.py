"""Which addresses validations may connect to (doc/adr/0035)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from anchor.X509.name_patterns import NetworkSet

Address = IPv4Address | IPv6Address

_NEVER = {
    "of 'this network' (RFC 1122)": ["0.0.0.0/8"],
    "for protocols (RFC 6890)": ["192.0.0.0/24"],
    "for broadcasts": ["255.255.255.255/32"],
    # 169.254.169.254 is link-local, and 192.0.0.192 is one for protocols.
    "of metadata services": [
        "100.100.100.200/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
    ],
    "IPv4 addresses inside IPv6": [
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    ],
}
_NEVER_SETS = {reason: NetworkSet(map(ip_network, networks)) for reason, networks in _NEVER.items()}


class ReachableNetworks:
    """The configured networks, without the addresses that are never reached.

    Args:
        networks: the configured networks.
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]):
        self._networks = NetworkSet(networks)

    def is_permitted(self, address: Address, own: Collection[Address] = ()) -> bool:
        """True if a validation may connect to an address.

        Args:
            address: the address.
            own: addresses of the service, besides those of this machine.
        """
        return self.refusal(address, own) is None

    def refusal(self, address: Address, own: Collection[Address] = ()) -> str | None:
        """Why an address is not reached, for the log; None if it is permitted.

        Args:
            address: the address.
            own: addresses of the service, besides those of this machine.
        """
        reason = never_reached(address)
        if reason is not None:
            return reason
        if address not in self._networks:
            return "not in the configured networks"
        if address in own:
            return "of the service itself"
        if _is_of_this_machine(address):
            return "of this machine, or the machine may use any (ip_nonlocal_bind)"
        return None


def never_reached(address: Address) -> str | None:
    """Why no configuration permits an address; None if one can."""
    for kind in ("loopback", "link_local", "multicast", "unspecified", "reserved"):
        if getattr(address, f"is_{kind}"):
            return kind.replace("_", "-")
    if isinstance(address, IPv6Address):
        if address.is_site_local:
            return "site-local"
        if address.scope_id is not None:
            return "of one interface only"
        # RFC 5214 section 6.1: the last 64 bits of an ISATAP address.
        if int(address) >> 32 & 0xFCFFFFFF == 0x00005EFE:
            return "IPv4 addresses inside IPv6"
    return next((reason for reason, each in _NEVER_SETS.items() if address in each), None)


def _is_of_this_machine(address: Address) -> bool:
    """True unless it is sure that the address belongs to another machine."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
