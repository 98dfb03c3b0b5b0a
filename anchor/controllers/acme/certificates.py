"""Certificates of ACME clients."""

from __future__ import annotations

from webob import Response

from anchor.controllers.acme.exchange import Exchange


def certificate(exchange: Exchange, order_id: str, chain: str = "0") -> Response:
    """To be written."""
    raise NotImplementedError


def revoke(exchange: Exchange) -> Response:
    """To be written."""
    raise NotImplementedError


def renewal_info(exchange: Exchange, certificate_id: str) -> Response:
    """To be written."""
    raise NotImplementedError


def explanation(exchange: Exchange, certificate_id: str) -> Response:
    """To be written."""
    raise NotImplementedError
