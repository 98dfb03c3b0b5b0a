"""The JSON of the resources (RFC 8555 section 7.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anchor.acme.settings import AcmeSettings
from anchor.acme.urls import AcmeUrls
from anchor.store.acme_records import (
    Account,
    Authorization,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
)
from anchor.timestamps import timestamp


def directory(settings: AcmeSettings, urls: AcmeUrls) -> dict[str, Any]:
    """The directory (section 7.1.1); ``newAuthz`` is left out, as nothing is pre-authorized."""
    meta: dict[str, Any] = {"externalAccountRequired": not settings.open}
    if settings.terms_of_service is not None:
        meta["termsOfService"] = settings.terms_of_service
    if settings.website is not None:
        meta["website"] = settings.website
    if settings.issuer_domain_names:
        meta["caaIdentities"] = list(settings.issuer_domain_names)
    if settings.profiles:
        meta["profiles"] = {name: each.description for name, each in settings.profiles.items()}
    return {
        "newNonce": urls.new_nonce,
        "newAccount": urls.new_account,
        "newOrder": urls.new_order,
        "revokeCert": urls.revoke_certificate,
        "keyChange": urls.key_change,
        "renewalInfo": urls.renewal_info,
        "meta": meta,
    }


def challenge(
    settings: AcmeSettings, urls: AcmeUrls, authorization: Authorization, of: Challenge
) -> dict[str, Any]:
    """A challenge (section 7.1.5).

    Args:
        settings: the section ``acme`` of the authority.
        urls: the URLs of the directory.
        authorization: the authorization.
        of: one of its challenges.
    """
    document: dict[str, Any] = {
        "type": of.type,
        "url": urls.challenge(authorization, of.type),
        "status": of.status.value,
    }
    if of.token:
        document["token"] = of.token
    else:
        # draft-ietf-acme-dns-persist: what the client has to write into the record.
        document["accounturi"] = urls.account(authorization.account_id)
        document["issuer-domain-names"] = list(settings.issuer_domain_names)
    if of.validated is not None:
        document["validated"] = timestamp(of.validated)
    if of.error is not None:
        document["error"] = dict(of.error)
    return document


def challenges(
    settings: AcmeSettings, urls: AcmeUrls, authorization: Authorization
) -> list[dict[str, Any]]:
    """The challenges of an authorization: those that the client can choose from, or did choose."""
    shown = [
        each for each in authorization.challenges if each.status is not ChallengeStatus.PENDING
    ]
    return [
        challenge(settings, urls, authorization, each) for each in shown or authorization.challenges
    ]


def account(account: Account, urls: AcmeUrls) -> dict[str, Any]:
    """An account (section 7.1.2)."""
    document: dict[str, Any] = {"status": account.status.value, "orders": urls.orders(account.id)}
    if account.contact:
        document["contact"] = list(account.contact)
    if account.binding is not None:
        document["externalAccountBinding"] = dict(account.binding)
    return document


def order(urls: AcmeUrls, of: Order, authorizations: Iterable[Authorization]) -> dict[str, Any]:
    """An order (section 7.1.3).

    Args:
        urls: the URLs of the directory.
        of: the order, with the status at this time.
        authorizations: its authorizations.
    """
    by_identifier = {each.identifier: urls.authorization(each.id) for each in authorizations}
    document: dict[str, Any] = {
        "status": of.status.value,
        "expires": timestamp(of.expires),
        "identifiers": [{"type": each.type, "value": each.value} for each in of.identifiers],
        "authorizations": [by_identifier[each] for each in of.identifiers],
        "finalize": urls.finalize(of.id),
    }
    for name, value in (("profile", of.profile), ("replaces", of.replaces), ("error", of.error)):
        if value is not None:
            document[name] = value
    if of.status is OrderStatus.VALID:
        document["certificate"] = urls.certificate(of.id)
    return document


def authorization(settings: AcmeSettings, urls: AcmeUrls, of: Authorization) -> dict[str, Any]:
    """An authorization (section 7.1.4)."""
    document: dict[str, Any] = {
        "status": of.status.value,
        "expires": timestamp(of.expires),
        "identifier": {"type": of.identifier.type, "value": of.identifier.base},
        "challenges": challenges(settings, urls, of),
    }
    if of.identifier.is_wildcard:
        document["wildcard"] = True
    return document
