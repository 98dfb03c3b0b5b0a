"""Another key for an account (RFC 8555 section 7.3.5)."""

from __future__ import annotations

import logging
from typing import Any

from anchor.acme.account_keys import (
    parse_key,
    require_acceptable,
    require_algorithm,
    verify_signature,
)
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.requests import SignedRequest
from anchor.acme.services import AcmeServices
from anchor.acme.urls import AcmeUrls
from anchor.jose.flattened import parse_flattened
from anchor.jose.public_keys import PublicJwk, parse_public_jwk
from anchor.jose.strict_json import parse_object
from anchor.store.acme_records import Account
from anchor.X509.weak_keys import WeakKey

LOG = logging.getLogger(__name__)

_HEADER = {"alg", "jwk", "url"}


def change_key(services: AcmeServices, urls: AcmeUrls, request: SignedRequest) -> Account:
    """The account of a request with its new key, which has signed the payload.

    Raises:
        AcmeProblem: the request is malformed, or the key is weak, banned or has an account.
        DatabaseUnavailable: the database is away, locked or full.
    """
    account = request.require_account()
    key, statement = _read_inner(request)
    if statement.get("account") != urls.account(account.id):
        raise _malformed("its 'account' should be the URL in the outer 'kid'")
    _require_old_key(statement.get("oldKey"), request.key)
    thumbprint = key.thumbprint.hex()
    changed = services.accounts.find_key(account.authority, thumbprint)
    if changed is None:
        require_acceptable(services, key)
        changed = services.accounts.change_key(account, thumbprint, key.members)
        if changed is None:
            raise AcmeProblem(
                ProblemType.UNAUTHORIZED, "the account has ended or got another key meanwhile"
            )
        if changed.id == account.id:
            LOG.info("account %s of %a has another key", account.id, account.requester)
            return changed
    raise AcmeProblem(
        ProblemType.CONFLICT,
        "the new key is that of an account already: use a new one",
        location=urls.account(changed.id),
    )


def _read_inner(request: SignedRequest) -> tuple[PublicJwk, dict[str, Any]]:
    """The new key, and what it has signed."""
    try:
        inner = parse_flattened(request.members())
    except ValueError as error:
        raise _malformed(str(error)) from None
    algorithm = require_algorithm(inner.header)
    if inner.header.keys() != _HEADER:
        raise _malformed("its header should have exactly 'alg', 'jwk' and 'url'")
    if inner.header["url"] != request.url:
        raise _malformed(f"its 'url' should be that of the request, {request.url}")
    key = parse_key(inner.header["jwk"])
    verify_signature(inner, algorithm, key)
    try:
        return key, parse_object(inner.payload)
    except ValueError as error:
        raise _malformed(f"its payload is not accepted: {error}") from None


def _require_old_key(value: object, key: PublicJwk) -> None:
    try:
        is_same = parse_public_jwk(value).members == key.members
    except (ValueError, WeakKey) as error:
        raise _malformed(f"its 'oldKey' should be the key of the account: {error}") from None
    if not is_same:
        raise _malformed("its 'oldKey' should be the key of the account, and is another key")


def _malformed(reason: str) -> AcmeProblem:
    return malformed(f"the inner JWS is not accepted: {reason}")
