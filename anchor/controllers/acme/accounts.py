"""Accounts of ACME clients."""

from __future__ import annotations

from webob import Response

from anchor.controllers.acme.exchange import Exchange


def new_account(exchange: Exchange) -> Response:
    """To be written."""
    raise NotImplementedError


def account(exchange: Exchange, account_id: str) -> Response:
    """To be written."""
    raise NotImplementedError


def key_change(exchange: Exchange) -> Response:
    """To be written."""
    raise NotImplementedError
