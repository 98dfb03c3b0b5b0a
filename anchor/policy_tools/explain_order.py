"""Explanations: why an order of an ACME account is in its state, and whether it can go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from anchor.acme.authorizations import authorization_at, require_authorized
from anchor.acme.identity import identity_for_policy
from anchor.acme.limits import find_too_many
from anchor.acme.order_policy import describe, name_failures
from anchor.acme.orders import order_at, require_profile
from anchor.acme.renewal_windows import window_of
from anchor.acme.services import AcmeByAuthority, AcmeServices
from anchor.auth.token import Token
from anchor.errors import AnchorError, Failure, RequestError
from anchor.store.acme_records import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Order,
    OrderStatus,
    names_key,
)
from anchor.store.database import acme_order_counts
from anchor.store.database.tokens import Tokens
from anchor.store.records import CertificateRecord
from anchor.timestamps import timestamp
from anchor.web.request import Request


class UnknownOrder(AnchorError):
    """There is no such order."""


@dataclass(frozen=True, kw_only=True)
class OrderExplanation:
    """The life of an order so far.

    Attributes:
        services: the authority.
        account: the account.
        token: the token of the account; None if it has none, or if it does not exist any more.
        order: the order, with the status at this time.
        authorizations: its authorizations, with the status at this time.
        certificate: its certificate; None if it has none.
        refusals: why the service would refuse the client's next request, besides the policy.
        failures: why the policy refuses the names now.
        fault: an error outside the policy, such as a database that is away.
        uncertified: the number of the account's orders that count for ``max_pending_orders``.
        issued: the number of the account's certificates for the names, up to ``max_duplicates``.
        newest: the newest of them.
    """

    services: AcmeServices
    account: Account
    token: Token | None
    order: Order
    authorizations: tuple[Authorization, ...]
    certificate: CertificateRecord | None
    refusals: tuple[str, ...]
    failures: tuple[Failure, ...]
    fault: AnchorError | None
    uncertified: int
    issued: int
    newest: CertificateRecord | None

    @property
    def is_open(self) -> bool:
        """True if the client has something left to do."""
        return self.order.status in (OrderStatus.PENDING, OrderStatus.READY)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why the order does not get a certificate now; empty if it does, or has one."""
        if self.order.status is OrderStatus.INVALID:
            error = self.order.error or {}
            return (str(error.get("detail", "it is invalid")),)
        return tuple(self._obstacles()) if self.is_open else ()

    def _obstacles(self) -> Iterator[str]:
        account = self.account
        if account.status is not AccountStatus.VALID:
            yield f"the account is {account.status.value}"
        elif account.token_id is not None and self.token is None:
            yield "the token of the account does not exist any more"
        elif self.token is not None and self.token.revoked is not None:
            yield f"the token of the account was revoked at {timestamp(self.token.revoked)}"
        yield from self.refusals
        yield from describe(self.failures)
        if self.fault is not None:
            yield str(self.fault)


def explain_order(
    acme: AcmeByAuthority, order_id: str, address: IPv4Address | IPv6Address
) -> OrderExplanation:
    """Explain the state of an order; nothing is changed.

    Args:
        acme: the authorities with ACME by name.
        order_id: the identifier, the last part of the order's URL.
        address: the address of the client.

    Raises:
        UnknownOrder: there is no such order.
        DatabaseUnavailable: the database is away.
    """
    for services in acme.values():
        order = services.orders.find(order_id)
        account = services.accounts.find(order.account_id) if order else None
        if order and account and account.authority == services.authority.name:
            return _explain(services, account, order, address)
    raise UnknownOrder(
        f"there is no ACME order {order_id!a} of an authority with a section 'acme'; orders are "
        "deleted seven days after they or their certificates have ended"
    )


def _explain(
    services: AcmeServices, account: Account, order: Order, address: IPv4Address | IPv6Address
) -> OrderExplanation:
    now, database = services.clock(), services.orders.database
    inventory = services.authority.inventory
    failures: tuple[Failure, ...] = ()
    fault: AnchorError | None = None
    try:
        failures = _failures(services, account, order, address)
    except AnchorError as error:
        fault = error
    settings = services.settings
    current = order_at(order, now)
    authorizations = tuple(
        authorization_at(each, now) for each in services.orders.authorizations(order.id)
    )
    issued = acme_order_counts.newest_certificates(
        database, account.id, names_key(order.identifiers), now, settings.max_duplicates
    )
    return OrderExplanation(
        services=services,
        account=account,
        token=None if account.token_id is None else Tokens(database).find(account.token_id),
        order=current,
        authorizations=authorizations,
        certificate=inventory.find(order.certificate) if order.certificate else None,
        refusals=tuple(_refusals(services, account, current, authorizations)),
        failures=failures,
        fault=fault,
        uncertified=len(
            acme_order_counts.ends_of_uncertified(
                database, account.id, now, settings.max_pending_orders
            )
        ),
        issued=len(issued),
        newest=inventory.find(issued[0].fingerprint) if issued else None,
    )


def _refusals(
    services: AcmeServices,
    account: Account,
    order: Order,
    authorizations: tuple[Authorization, ...],
) -> Iterator[str]:
    """Why a challenge or the order cannot be completed; the configuration may have changed."""
    if order.status is OrderStatus.PENDING:
        offered = set(services.settings.challenges)
        for each in authorizations:
            types = {challenge.type for challenge in each.challenges}
            if each.status is AuthorizationStatus.PENDING and types.isdisjoint(offered):
                yield f"the directory offers no challenge for {each.identifier} any more"
    elif order.status is OrderStatus.READY:
        try:
            require_authorized(services, account, order)
            if order.profile is not None:
                require_profile(services.settings, order.profile)
        except RequestError as error:
            yield str(error)
        problem = find_too_many(services, account, order.identifiers, order.replaces)
        if problem is not None:
            yield str(problem)


def _failures(
    services: AcmeServices, account: Account, order: Order, address: IPv4Address | IPv6Address
) -> tuple[Failure, ...]:
    authority = services.authority
    environ = {"REMOTE_ADDR": str(address), "REQUEST_METHOD": "POST"}
    request: Request = Request.blank(f"/acme/{authority.name}/new-order", environ=environ)
    identity = identity_for_policy(services, account)
    context = authority.policy.context(identity, request, authority.conf)
    return name_failures(authority.policy, order.identifiers, context)


def conclusion(explained: OrderExplanation) -> str:
    """What the client can do now, or why it can do nothing."""
    order, certificate = explained.order, explained.certificate
    end = timestamp(order.expires)
    if explained.obstacles:
        return f"It gets no certificate: {'; '.join(explained.obstacles)}."
    match order.status:
        case OrderStatus.VALID if certificate is None:
            return f"It got the certificate {order.certificate}, which was pruned since."
        case OrderStatus.VALID if certificate is not None:
            until = timestamp(certificate.not_after)
            return f"It got the certificate {certificate.fingerprint}, valid until {until}."
        case OrderStatus.PROCESSING:
            return "A request issues its certificate at this moment."
        case OrderStatus.READY:
            return f"The client can finalize it until {end}."
    waiting = ", ".join(
        str(each.identifier)
        for each in explained.authorizations
        if each.status is AuthorizationStatus.PENDING
    )
    return f"The client has to pass a challenge for {waiting} until {end}."


def as_json(explained: OrderExplanation) -> Mapping[str, Any]:
    """The explanation in JSON's types."""
    order, account, token = explained.order, explained.account, explained.token
    settings, newest = explained.services.settings, explained.newest
    return {
        "authority": account.authority,
        "order": order.id,
        "status": order.status.value,
        "conclusion": conclusion(explained),
        "names": list(map(str, order.identifiers)),
        "profile": order.profile,
        "replaces": order.replaces,
        "created": timestamp(order.created),
        "expires": timestamp(order.expires),
        "error": None if order.error is None else dict(order.error),
        "certificate": order.certificate,
        "account": {
            "id": account.id,
            "status": account.status.value,
            "requester": account.requester,
            "groups": list(account.groups),
            "allowed_names": (
                None if account.allowed_names is None else list(account.allowed_names)
            ),
            "token_id": account.token_id,
            "token_revoked": (
                timestamp(token.revoked) if token is not None and token.revoked else None
            ),
            "client": account.user_agent,
            "refused": account.refused,
        },
        "authorizations": [
            {
                "name": str(each.identifier),
                "status": each.status.value,
                "challenges": [
                    {
                        "type": challenge.type,
                        "status": challenge.status.value,
                        "error": None if challenge.error is None else dict(challenge.error),
                    }
                    for challenge in each.challenges
                ],
            }
            for each in explained.authorizations
        ],
        "refusals": list(explained.refusals),
        "failures": [
            {"check": failure.check, "reason": failure.reason} for failure in explained.failures
        ],
        "fault": None if explained.fault is None else str(explained.fault),
        "limits": {
            "uncertified": explained.uncertified,
            "max_pending_orders": settings.max_pending_orders,
            "issued": explained.issued,
            "max_duplicates": settings.max_duplicates,
            "renew_from": None if newest is None else timestamp(window_of(newest).start),
        },
    }
