"""The requester behind an account."""

from __future__ import annotations

import dataclasses

from anchor.acme.services import AcmeServices
from anchor.auth.results import AcmeOrder, AuthDetails, CredentialKind
from anchor.store.acme_records import Account


def recorded_identity(account: Account, order_id: str) -> AuthDetails:
    """The identity that was recorded with an account, for one of its orders."""
    return AuthDetails(
        account.requester,
        account.groups,
        allowed_names=account.allowed_names,
        token_id=account.token_id,
        order=AcmeOrder(account.id, order_id),
    )


def identity_for_policy(services: AcmeServices, account: Account) -> AuthDetails:
    """The identity as the policy sees it, without authentication and its record.

    Raises:
        NotAuthenticated: the authority does not accept tokens any more.
    """
    authentication = ""
    if account.token_id is not None:
        authentication = services.authority.methods.of_tokens().authenticator.name
    return dataclasses.replace(
        recorded_identity(account, ""),
        authentication=authentication,
        credential=CredentialKind.ACME,
        order=None,
    )
