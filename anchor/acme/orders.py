"""Orders: a new one, and those that an account has (RFC 8555 section 7.4)."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from anchor.acme import limits
from anchor.acme.authorizations import new_authorizations
from anchor.acme.identifiers import parse_identifiers
from anchor.acme.order_policy import require_allowed_names
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.replacements import already_replaced, check_replaces
from anchor.acme.services import AcmeServices, new_id
from anchor.acme.settings import AcmeSettings, ProfileSettings
from anchor.auth.presented import Origin
from anchor.store.acme_records import (
    Account,
    Authorization,
    AuthorizationStatus,
    Order,
    OrderStatus,
)
from anchor.store.database.acme_claims import MAX_PROCESSING
from anchor.timestamps import timestamp

KEPT = datetime.timedelta(days=7)
"""How long an order is kept after it, or its certificate, has expired."""


def create_order(
    services: AcmeServices, account: Account, members: Mapping[str, Any], origin: Origin
) -> tuple[Order, list[Authorization]]:
    """A new order, and its authorizations.

    Args:
        services: the authority.
        account: the account.
        members: the payload; members that the service sets itself are ignored.
        origin: where the request came from.

    Raises:
        AcmeProblem: the order is malformed, not allowed, or one too many.
        PluginError: a check or a fixup crashed.
        DatabaseUnavailable: the database is away, locked or full.
    """
    identifiers = parse_identifiers(members.get("identifiers"))
    for name in ("notBefore", "notAfter"):
        if members.get(name) is not None:
            raise malformed(
                f"the order has {name!r}, and the CA decides about the validity: choose one of "
                "the directory's profiles instead"
            )
    profile = _text(members, "profile")
    if profile is None:
        profile = next(iter(services.settings.profiles), None)
    else:
        require_profile(services.settings, profile)
    replaces = _text(members, "replaces")
    if replaces is not None:
        check_replaces(services, account, identifiers, replaces)
    limits.require_few_uncertified(services, account)
    limits.require_due(services, account, identifiers, replaces)
    require_allowed_names(services, account, identifiers, origin)
    # Stored without fractions of a second.
    now = services.clock().replace(microsecond=0)
    expires = now + services.settings.order_validity
    order_id = new_id()
    authorizations = new_authorizations(services.settings, account, order_id, identifiers, expires)
    is_ready = all(each.status is AuthorizationStatus.VALID for each in authorizations)
    order = Order(
        id=order_id,
        account_id=account.id,
        status=OrderStatus.READY if is_ready else OrderStatus.PENDING,
        expires=expires,
        identifiers=identifiers,
        profile=profile,
        replaces=replaces,
        created=now,
    )
    if not services.orders.add(order, authorizations, delete_after=expires + KEPT):
        raise already_replaced()
    return order, authorizations


def require_profile(settings: AcmeSettings, name: str) -> ProfileSettings:
    """The profile with a name.

    Raises:
        AcmeProblem: there is no such profile.
    """
    profile = settings.profiles.get(name)
    if profile is None:
        names = ", ".join(settings.profiles)
        raise AcmeProblem(
            ProblemType.INVALID_PROFILE,
            f"the profile should be one of {names}" if names else "this directory has no profiles",
        )
    return profile


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise malformed(f"{name!r} should be a string")
    return value


def find_order(services: AcmeServices, account: Account, order_id: str) -> Order:
    """An order of an account, with the status at this time.

    Raises:
        AcmeProblem: the account has no such order.
        DatabaseUnavailable: the database is away.
    """
    return _require_own(services, account, services.orders.find(order_id))


def find_order_with_authorizations(
    services: AcmeServices, account: Account, order_id: str
) -> tuple[Order, list[Authorization]]:
    """An order of an account, as :func:`find_order` returns it, and its authorizations.

    Raises:
        AcmeProblem: the account has no such order.
        DatabaseUnavailable: the database is away.
    """
    order, authorizations = services.orders.find_with_authorizations(order_id) or (None, [])
    return _require_own(services, account, order), authorizations


def _require_own(services: AcmeServices, account: Account, order: Order | None) -> Order:
    if order is None or order.account_id != account.id:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the account has no such order")
    return order_at(order, services.clock())


def order_at(order: Order, now: datetime.datetime) -> Order:
    """The order with the status that it has at a time: one that has ended is invalid."""
    error: AcmeProblem | None = None
    match order.status:
        case OrderStatus.PENDING | OrderStatus.READY if order.expires <= now:
            error = malformed(
                f"the order has expired at {timestamp(order.expires)}: create another"
            )
        case OrderStatus.PROCESSING if (
            order.finalized is None or order.finalized + MAX_PROCESSING <= now
        ):
            error = AcmeProblem(
                ProblemType.SERVER_INTERNAL,
                "the service stopped while it issued the certificate: create another order",
            )
        case _:
            return order
    return dataclasses.replace(order, status=OrderStatus.INVALID, error=error.as_json())
