"""Orders of ACME clients, and their authorizations and challenges."""

from __future__ import annotations

from http import HTTPStatus

from webob import Response

from anchor.acme import authorizations as acme_authorizations
from anchor.acme import challenges, order_list, resources
from anchor.acme import finalize as acme_finalize
from anchor.acme.orders import create_order, find_order_with_authorizations
from anchor.acme.problems import malformed
from anchor.controllers.acme.exchange import NO_HEADERS, Exchange
from anchor.controllers.issuance import Issuance
from anchor.store.acme_records import Authorization, AuthorizationStatus, Order, OrderStatus

# In seconds; an order is processing for some milliseconds.
_POLL = {"Retry-After": "1"}


def new_order(exchange: Exchange) -> Response:
    """Create an order (RFC 8555 section 7.4)."""
    request = exchange.read()
    services, account = exchange.services, request.require_account()
    services.accounts.seen(account, exchange.user_agent)
    order, authorizations = create_order(services, account, request.members(), exchange.origin)
    return exchange.respond(
        resources.order(exchange.urls, order, authorizations),
        status=HTTPStatus.CREATED,
        headers={"Location": exchange.urls.order(order.id)},
    )


def order(exchange: Exchange, order_id: str) -> Response:
    """Show an order (section 7.1.3)."""
    request = exchange.read()
    request.require_empty()
    return _respond(
        exchange,
        *find_order_with_authorizations(exchange.services, request.require_account(), order_id),
    )


def _respond(
    exchange: Exchange, order: Order, authorizations: list[Authorization], **headers: str
) -> Response:
    is_processing = order.status is OrderStatus.PROCESSING
    return exchange.respond(
        resources.order(exchange.urls, order, authorizations),
        headers={**(_POLL if is_processing else NO_HEADERS), **headers},
    )


def list_orders(exchange: Exchange, account_id: str, after: str | None = None) -> Response:
    """A page of an account's orders (section 7.1.2.1).

    Args:
        exchange: the request.
        account_id: the account.
        after: where the page starts, as the page before says; None for the first page.
    """
    request = exchange.read()
    request.require_empty()
    page = order_list.page_of(exchange.services, request.require_account(), account_id, after)
    urls = exchange.urls
    return exchange.respond(
        {"orders": [urls.order(each.id) for each in page.orders]},
        links=[] if page.next is None else [("next", f"{urls.orders(account_id)}/{page.next}")],
    )


def finalize(exchange: Exchange, order_id: str) -> Response:
    """Issue the certificate of an order (section 7.4)."""
    request = exchange.read()
    services, account = exchange.services, request.require_account()
    order, authorizations = find_order_with_authorizations(services, account, order_id)
    origin = exchange.origin
    authority, metrics = services.authority, exchange.metrics
    with Issuance(exchange.request, authority, metrics, "acme").counted():
        identity = acme_finalize.authenticate(services, account, order, origin)
        metrics.authenticated(identity)
        certificate, order = acme_finalize.issue(services, identity, order, request, origin)
        metrics.issued(authority, certificate)
    return _respond(exchange, order, authorizations, Location=exchange.urls.order(order.id))


def authorization(exchange: Exchange, authorization_id: str) -> Response:
    """Show or deactivate an authorization (section 7.5)."""
    request = exchange.read()
    services, account = exchange.services, request.require_account()
    authorization = acme_authorizations.find_authorization(services, account, authorization_id)
    if request.payload is not None:
        if request.payload.get("status") != AuthorizationStatus.DEACTIVATED.value:
            raise malformed(
                "the payload should be empty, or an object with 'status': 'deactivated'"
            )
        authorization = acme_authorizations.deactivate(services, authorization)
    document = resources.authorization(services.settings, exchange.urls, authorization)
    return exchange.respond(document)


def challenge(exchange: Exchange, authorization_id: str, challenge_type: str) -> Response:
    """A challenge; a response to it (RFC 8555 section 7.5.1) is validated before the answer."""
    request = exchange.read()
    account = request.require_account()
    services, urls = exchange.services, exchange.urls
    owner = acme_authorizations.find_authorization(services, account, authorization_id)
    state = challenges.of_type(owner, challenge_type)
    if request.payload is not None:
        owner, state = challenges.respond(
            services,
            urls,
            account=account,
            key=request.key,
            authorization=owner,
            challenge_type=challenge_type,
            origin=exchange.origin,
        )
    return exchange.respond(
        resources.challenge(services.settings, urls, owner, state),
        links=[("up", urls.authorization(owner.id))],
    )
