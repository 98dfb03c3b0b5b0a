"""The JSON of the resources (RFC 8555 section 7.1)."""

from __future__ import annotations

from typing import Any

from anchor.acme.settings import AcmeSettings
from anchor.acme.urls import AcmeUrls


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
