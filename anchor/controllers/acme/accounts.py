"""Accounts of ACME clients."""

from __future__ import annotations

from http import HTTPStatus

from webob import Response

from anchor.acme import accounts, resources
from anchor.acme.key_change import change_key
from anchor.acme.requests import Signer
from anchor.controllers.acme.exchange import Exchange
from anchor.errors import BackendUnavailable, NotAuthenticated, TooManyAttempts
from anchor.store.acme_records import Account


def new_account(exchange: Exchange) -> Response:
    """The account of a key (RFC 8555 section 7.3): 201 if it is new, else 200."""
    request = exchange.read(Signer.KEY)
    services = exchange.services
    try:
        registration = accounts.register(services, request, exchange.origin, exchange.user_agent)
    except (NotAuthenticated, TooManyAttempts, BackendUnavailable) as error:
        exchange.metrics.authentication_failed(services.authority, error)
        raise
    if registration.identity is not None:
        exchange.metrics.authenticated(registration.identity)
    status = HTTPStatus.CREATED if registration.is_new else HTTPStatus.OK
    return _show(exchange, registration.account, status)


def account(exchange: Exchange, account_id: str) -> Response:
    """The account (sections 7.3.2 and 7.3.6), after the changes in the request."""
    request = exchange.read()
    found = accounts.require_own(request, account_id)
    if request.payload is not None:
        found = accounts.change(exchange.services, found, request.payload)
    return _show(exchange, found)


def key_change(exchange: Exchange) -> Response:
    """The account, after its key was changed (section 7.3.5)."""
    request = exchange.read()
    return _show(exchange, change_key(exchange.services, exchange.urls, request))


def _show(exchange: Exchange, shown: Account, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return exchange.respond(
        resources.account(shown, exchange.urls),
        status=status,
        headers={"Location": exchange.urls.account(shown.id)},
    )
