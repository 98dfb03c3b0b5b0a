"""Orders of ACME clients."""

from __future__ import annotations

from webob import Response

from anchor.controllers.acme.exchange import Exchange


def new_order(exchange: Exchange) -> Response:
    """To be written."""
    raise NotImplementedError


def order(exchange: Exchange, order_id: str) -> Response:
    """To be written."""
    raise NotImplementedError


def authorization(exchange: Exchange, authorization_id: str) -> Response:
    """To be written."""
    raise NotImplementedError


def challenge(exchange: Exchange, authorization_id: str, challenge_type: str) -> Response:
    """To be written."""
    raise NotImplementedError


def list_orders(exchange: Exchange, account_id: str) -> Response:
    """To be written."""
    raise NotImplementedError


def finalize(exchange: Exchange, order_id: str) -> Response:
    """To be written."""
    raise NotImplementedError
