"""TCP connections to the machine that has a name, if it may be reached."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from anchor.acme.problems import ProblemType
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.limited_connection import TooMuchData
from anchor.acme.validation.networks import Address, ReachableNetworks
from anchor.acme.validation.resolver import Resolver
from anchor.acme.validation.time_limit import TimeLimit
from anchor.X509.dns_names import is_address

LOG = logging.getLogger(__name__)

_MAX_ADDRESSES = 2
# Of the time of a validation, to look up the addresses of the service.
_SHARE_FOR_OWN = 0.25
Host = str | IPv4Address | IPv6Address


class Connector:
    """The connections of one validation.

    Args:
        networks: the networks that may be reached.
        resolver: looks up names.
        limit: how much time the validation has.
        own_host: the name or the address at which clients reach the service.
    """

    def __init__(
        self, networks: ReachableNetworks, resolver: Resolver, limit: TimeLimit, own_host: str
    ):
        self._networks = networks
        self._resolver = resolver
        self._limit = limit
        self._own_host = own_host
        self._own: Sequence[Address] | None = None

    def connect(self, host: Host, port: int) -> socket.socket:
        """A connection to one of the addresses of a host.

        The host is looked up once, and each address is checked before it is connected to, so that
        a second answer of the DNS cannot lead elsewhere.

        Args:
            host: a DNS name or an address.
            port: the port.

        Raises:
            ChallengeFailed: the host has no address that may be reached, or none answers.
        """
        reason: OSError | None = None
        addresses = self._permitted(host)
        for number, address in enumerate(addresses):
            try:
                seconds = self._limit.left() / (len(addresses) - number)
                return socket.create_connection((str(address), port), timeout=seconds)
            except OSError as error:
                LOG.info("%s at %s, port %d: %s", host, address, port, error)
                reason = error
        assert reason is not None
        raise ChallengeFailed(ProblemType.CONNECTION, f"port {port} of {host}: {describe(reason)}")

    def _permitted(self, host: Host) -> list[Address]:
        """At most two of the addresses, all of which may be reached."""
        addresses = self._resolver.addresses(host) if isinstance(host, str) else [host]
        own = self._own_addresses()
        permitted: list[Address] = []
        for address in addresses:
            refusal = self._networks.refusal(address, own)
            if refusal is None:
                permitted.append(address)
            else:
                LOG.info("%s is not reached at %s: the address is %s", host, address, refusal)
        if not permitted:
            raise ChallengeFailed(
                ProblemType.CONNECTION,
                f"{host} has no address in the networks that this CA may connect to",
            )
        return permitted[:_MAX_ADDRESSES]

    def _own_addresses(self) -> Sequence[Address]:
        """The addresses at which clients reach the service: perhaps those of a proxy."""
        if self._own is None:
            self._own = ()
            if is_address(self._own_host):
                self._own = (ip_address(self._own_host),)
            else:
                try:
                    resolver = self._resolver.within(self._limit.part(_SHARE_FOR_OWN))
                    self._own = resolver.addresses(self._own_host)
                except ChallengeFailed as error:
                    # The DNS for challenges need not have the name of the service.
                    LOG.warning("the addresses of the service itself are not refused: %s", error)
        return self._own


def describe(error: OSError) -> str:
    """What is wrong with a connection, in words that say nothing about the address."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case TooMuchData():
            return "the other side sends too much"
        case ConnectionRefusedError():
            return "the connection is refused"
        case ConnectionResetError() | BrokenPipeError():
            return "the connection was closed"
        case _:
            return "the connection failed"
