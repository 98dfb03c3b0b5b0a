"""Checks on where a request comes from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from anchor.config.option_types import Networks
from anchor.validators.errors import ValidationError


class HasClientAddress(Protocol):
    """A request that knows the address of its client; None if it is not known."""

    @property
    def client_address(self) -> IPv4Address | IPv6Address | None:
        """The client's address."""


def source_cidrs(request: HasClientAddress, cidrs: Networks) -> None:
    """The client's address is in one of the ranges.

    Args:
        cidrs: the ranges; with an empty list every request is refused.
    """
    address = request.client_address
    if address is None:
        raise ValidationError("the request's source address is not known")
    if address not in cidrs:
        raise ValidationError("the request's source address is not allowed", address=address)
