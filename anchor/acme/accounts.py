"""Accounts (RFC 8555 section 7.3): create, find, change and deactivate them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from anchor.acme.account_keys import require_acceptable
from anchor.acme.contacts import parse_contact
from anchor.acme.external_binding import authenticate_binding
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.requests import SignedRequest, require_valid
from anchor.acme.services import AcmeServices, new_id
from anchor.auth.presented import Origin
from anchor.auth.results import AuthDetails
from anchor.errors import NotAuthenticated
from anchor.store.acme_records import Account, AccountStatus

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """The account of a key.

    Attributes:
        account: the account.
        is_new: True if the request has created it.
        identity: the holder of the token, if the request has authenticated with it.
    """

    account: Account
    is_new: bool
    identity: AuthDetails | None = None


def register(
    services: AcmeServices, request: SignedRequest, origin: Origin, user_agent: str
) -> Registration:
    """The account of the key that has signed a request, or a new one.

    Args:
        services: the authority.
        request: the request to the resource ``newAccount``.
        origin: where it came from.
        user_agent: the client, as it calls itself.

    Raises:
        AcmeProblem: the request is malformed or not accepted.
        NotAuthenticated: the token of the binding is not accepted.
        TooManyAttempts: bindings failed too often.
        DatabaseUnavailable: the database is away, locked or full.
    """
    members = request.members()
    existing = _find(services, request)
    if existing is not None:
        # Section 7.3.1: the other members are ignored, and no binding is needed.
        return Registration(existing, is_new=False)
    if _boolean(members, "onlyReturnExisting"):
        raise AcmeProblem(
            ProblemType.ACCOUNT_DOES_NOT_EXIST, "there is no account with this key, create one"
        )
    require_acceptable(services, request.key)
    contact = members.get("contact")
    contacts = () if contact is None else parse_contact(contact)
    _require_agreement(services, agreed=_boolean(members, "termsOfServiceAgreed"))
    try:
        return _create(services, request, contacts, origin, user_agent)
    except NotAuthenticated:
        # The client may have sent its request twice at once: the other has used the token.
        existing = _find(services, request)
        if existing is None:
            raise
        return Registration(existing, is_new=False)


def _find(services: AcmeServices, request: SignedRequest) -> Account | None:
    """The account of the key, which has to be valid."""
    account = services.accounts.find_key(services.authority.name, request.key.thumbprint.hex())
    if account is not None:
        require_valid(account)
    return account


def _require_agreement(services: AcmeServices, *, agreed: bool) -> None:
    terms = services.settings.terms_of_service
    if terms is not None and not agreed:
        # Section 7.3.3: both the link and the member "instance" lead to the terms.
        raise AcmeProblem(
            ProblemType.USER_ACTION_REQUIRED,
            f"agree to the terms of service with 'termsOfServiceAgreed': {terms}",
            more={"instance": terms},
            links=[("terms-of-service", terms)],
        )


def _create(
    services: AcmeServices,
    request: SignedRequest,
    contacts: tuple[str, ...],
    origin: Origin,
    user_agent: str,
) -> Registration:
    binding = request.members().get("externalAccountBinding")
    if binding is None and not services.settings.open:
        raise AcmeProblem(
            ProblemType.EXTERNAL_ACCOUNT_REQUIRED,
            "an account needs an externalAccountBinding: the key identifier and the HMAC key are "
            "the id and the secret of a token, which the operator of this CA creates",
        )
    account_id = new_id()
    identity: AuthDetails | None = None
    if binding is not None:
        identity = authenticate_binding(
            services, binding, key=request.key, url=request.url, origin=origin
        )
    holder = identity or AuthDetails(f"acme:{account_id}")
    account = services.accounts.add(
        Account(
            id=account_id,
            authority=services.authority.name,
            key_thumbprint=request.key.thumbprint.hex(),
            jwk=request.key.members,
            contact=contacts,
            requester=holder.username,
            groups=holder.groups,
            allowed_names=holder.allowed_names,
            token_id=holder.token_id,
            binding=binding,
            user_agent=user_agent,
            created=services.clock(),
        )
    )
    is_new = account.id == account_id
    if is_new:
        LOG.info(
            "request %s: account %s of %a at the authority %s is created with %s",
            origin.request_id,
            account.id,
            account.requester,
            account.authority,
            f"the token {account.token_id}" if account.token_id else "no token",
        )
    return Registration(require_valid(account), is_new, identity)


def require_own(request: SignedRequest, account_id: str) -> Account:
    """The account that has signed a request to its URL.

    Raises:
        AcmeProblem: it is the URL of another account.
    """
    account = request.require_account()
    if account.id != account_id:
        raise AcmeProblem(
            ProblemType.UNAUTHORIZED, "the URL belongs to another account: use the one in 'kid'"
        )
    return account


def change(services: AcmeServices, account: Account, members: dict[str, Any]) -> Account:
    """The account with the changes of a request (sections 7.3.2 and 7.3.6).

    Raises:
        AcmeProblem: the request is malformed.
        DatabaseUnavailable: the database is away, locked or full.
    """
    status, contact = members.get("status"), members.get("contact")
    if status is not None and not isinstance(status, str):
        raise malformed("'status' should be a string")
    # Section 7.3.2: other statuses are ignored, as are other members.
    if status == AccountStatus.DEACTIVATED:
        account = services.accounts.deactivate(
            account,
            AcmeProblem(ProblemType.UNAUTHORIZED, "the account was deactivated").as_json(),
            services.clock(),
        )
        LOG.info("account %s of %a is deactivated by its client", account.id, account.requester)
    elif contact is not None:
        account = services.accounts.change_contact(account, parse_contact(contact))
    return account


def _boolean(members: dict[str, Any], name: str) -> bool:
    value = members.get(name)
    if value is not None and not isinstance(value, bool):
        raise malformed(f"{name!r} should be true or false")
    return bool(value)
