"""The requester behind an account."""

from __future__ import annotations

from anchor.acme.services import AcmeServices
from anchor.auth.results import AcmeOrder, AuthDetails, CredentialKind
from anchor.errors import NotAuthenticated
from anchor.store.acme_records import Account


def recorded_identity(
    services: AcmeServices, account: Account, order_id: str | None
) -> AuthDetails:
    """The identity that was recorded with an account.

    Args:
        services: the authority.
        account: the account.
        order_id: the order that a certificate is for; None before there is one.

    Raises:
        NotAuthenticated: the account has no token, and needs one at this authority.
    """
    if account.token_id is None and not services.settings.open:
        # Anybody could create it, when the directory was open.
        raise NotAuthenticated(
            "the account is bound to no token, and this directory is not open any more: create an "
            "account with another key and an externalAccountBinding"
        )
    return AuthDetails(
        account.requester,
        account.groups,
        allowed_names=account.allowed_names,
        token_id=account.token_id,
        order=None if order_id is None else AcmeOrder(account.id, order_id),
    )


def identity_for_policy(services: AcmeServices, account: Account) -> AuthDetails:
    """The identity as the policy sees it, without authentication and its record.

    Raises:
        NotAuthenticated: the account needs a token, or the authority accepts no tokens any more.
    """
    authentication = ""
    if account.token_id is not None:
        authentication = services.authority.methods.of_tokens().authenticator.name
    recorded = recorded_identity(services, account, None)
    return recorded.authenticated_by(authentication, CredentialKind.ACME)
