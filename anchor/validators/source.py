"""Checks on where a request comes from."""

from __future__ import annotations

from anchor.controllers.request import Request
from anchor.options import Networks
from anchor.validators import ValidationError


def source_cidrs(request: Request, cidrs: Networks) -> None:
    """The client's address is in one of the ranges.

    Args:
        cidrs: the ranges; with an empty list every request is refused.
    """
    address = request.client_address
    if address is None:
        raise ValidationError("the request's source address is not known")
    if address not in cidrs:
        raise ValidationError("the request's source address is not allowed", address=address)
