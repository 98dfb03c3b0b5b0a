"""Authorizations: one for each identifier of an order (RFC 8555 section 7.1.4)."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable

from anchor.acme import challenges
from anchor.acme.problems import AcmeProblem, ProblemType, Subproblem, malformed
from anchor.acme.services import AcmeServices, new_id
from anchor.acme.settings import AcmeSettings
from anchor.errors import OrderNotReady
from anchor.store.acme_records import (
    Account,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
    Order,
)
from anchor.X509.allowed_names import ADDRESS, NAME, AllowedNames, LiteralName

_OPEN = (AuthorizationStatus.PENDING, AuthorizationStatus.VALID)
_MAX_LISTED = 5


def new_authorizations(
    settings: AcmeSettings,
    account: Account,
    order_id: str,
    identifiers: Iterable[Identifier],
    expires: datetime.datetime,
) -> list[Authorization]:
    """The authorizations of a new order.

    Those of names for which the account is trusted are valid at once and have no challenges.

    Raises:
        AcmeProblem: there is no challenge for a name; a subproblem says so for each of them.
    """
    authorizations: list[Authorization] = []
    problems: list[Subproblem] = []
    trusted = _TrustedNames(settings, account)
    for identifier in identifiers:
        is_trusted = identifier in trusted
        offered: tuple[Challenge, ...] = ()
        try:
            offered = () if is_trusted else challenges.offered(settings, identifier)
        except AcmeProblem as problem:
            problems.append(Subproblem(problem.kind, str(problem), identifier))
        status = AuthorizationStatus.VALID if is_trusted else AuthorizationStatus.PENDING
        authorizations.append(
            Authorization(
                id=new_id(),
                order_id=order_id,
                account_id=account.id,
                identifier=identifier,
                status=status,
                expires=expires,
                challenges=offered,
            )
        )
    if problems:
        raise AcmeProblem(
            ProblemType.REJECTED_IDENTIFIER,
            "; ".join(problem.detail for problem in problems),
            subproblems=problems,
        )
    return authorizations


class _TrustedNames:
    """The names for which an account needs no challenge."""

    def __init__(self, settings: AcmeSettings, account: Account):
        self._all = not settings.challenges
        self._names = AllowedNames(())
        if settings.trust_token_names and account.allowed_names is not None:
            self._names = AllowedNames.parse(account.allowed_names)

    def __contains__(self, identifier: Identifier) -> bool:
        kind = ADDRESS if identifier.type == "ip" else NAME
        return self._all or LiteralName(kind, identifier.value) in self._names


def require_authorized(services: AcmeServices, account: Account, order: Order) -> None:
    """Require that the present configuration needs no other challenge for the names of an order.

    The order may be from before challenges, or other ones, were configured.

    Raises:
        OrderNotReady: a name has no validated challenge of a configured type, and is not trusted.
        DatabaseUnavailable: the database is away.
    """
    settings = services.settings
    if not settings.challenges:
        return
    now = services.clock()
    trusted = _TrustedNames(settings, account)
    authorized = {
        each.identifier
        for each in services.orders.authorizations(order.id)
        if authorization_at(each, now).status is AuthorizationStatus.VALID
        and (each.identifier in trusted or _is_validated(each, settings))
    }
    missing = [str(each) for each in order.identifiers if each not in authorized]
    if missing:
        raise OrderNotReady(
            "the configuration has changed since the order was created, and needs a challenge for "
            f"{', '.join(missing[:_MAX_LISTED])} now: create a new order"
        )


def _is_validated(authorization: Authorization, settings: AcmeSettings) -> bool:
    return any(
        each.status is ChallengeStatus.VALID and each.type in settings.challenges
        for each in authorization.challenges
    )


def find_authorization(
    services: AcmeServices, account: Account, authorization_id: str
) -> Authorization:
    """An authorization of an account, with the status at this time.

    Raises:
        AcmeProblem: the account has no such authorization.
        DatabaseUnavailable: the database is away.
    """
    authorization = services.orders.find_authorization(authorization_id)
    if authorization is None or authorization.account_id != account.id:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the account has no such authorization")
    return authorization_at(authorization, services.clock())


def authorization_at(authorization: Authorization, now: datetime.datetime) -> Authorization:
    """The authorization with the status that it has at a time."""
    if authorization.status in _OPEN and authorization.expires <= now:
        # RFC 8555 section 7.1.6: only a valid one expires; a pending one becomes invalid.
        was_valid = authorization.status is AuthorizationStatus.VALID
        ended = AuthorizationStatus.EXPIRED if was_valid else AuthorizationStatus.INVALID
        return dataclasses.replace(authorization, status=ended)
    return authorization


def deactivate(services: AcmeServices, authorization: Authorization) -> Authorization:
    """Deactivate an authorization (section 7.5.2); its order becomes invalid, unless it is final.

    Raises:
        AcmeProblem: the authorization has ended in another way.
        DatabaseUnavailable: the database is away, locked or full.
    """
    if authorization.status is not AuthorizationStatus.DEACTIVATED:
        error = AcmeProblem(
            ProblemType.UNAUTHORIZED,
            f"the authorization for {authorization.identifier} was deactivated",
        )
        if authorization.status not in _OPEN or not services.orders.deactivate(
            authorization, error.as_json()
        ):
            raise malformed(
                f"the authorization is {authorization.status.value}, and only one that is pending "
                "or valid can be deactivated"
            )
    return dataclasses.replace(authorization, status=AuthorizationStatus.DEACTIVATED)
