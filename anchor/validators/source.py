"""Checks on the address that a request comes from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from anchor.config.option_types import Networks
from anchor.validators.errors import ValidationError


class HasClientAddress(Protocol):
    """A request with the address of its client."""

    @property
    def client_address(self) -> IPv4Address | IPv6Address | None:
        """The client's address; None if it is unknown."""


def source_cidrs(request: HasClientAddress, cidrs: Networks) -> None:
    """Require that the client's address is in a listed network.

    Args:
        cidrs: the allowed networks. An empty list refuses every request.
    """
    address = request.client_address
    if address is None:
        raise ValidationError("the request's source address is unknown")
    if address not in cidrs:
        raise ValidationError("the request's source address is not allowed", address=address)
