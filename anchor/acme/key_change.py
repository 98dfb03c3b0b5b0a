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
from anchor.acme.inner_jws import parse_inner, require_account_key
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.requests import SignedRequest
from anchor.acme.services import AcmeServices
from anchor.acme.urls import AcmeUrls
from anchor.jose.public_keys import PublicJwk
from anchor.jose.strict_json import parse_object
from anchor.store.acme_records import Account

LOG = logging.getLogger(__name__)


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
    require_account_key(statement.get("oldKey"), request.key, "its 'oldKey'", _malformed)
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
        "an account has the new key already: make another key",
        location=urls.account(changed.id),
    )


def _read_inner(request: SignedRequest) -> tuple[PublicJwk, dict[str, Any]]:
    """The new key, and what it has signed."""
    inner = parse_inner(request.members(), "jwk", request.url, _malformed)
    algorithm = require_algorithm(inner.header)
    key = parse_key(inner.header["jwk"])
    verify_signature(inner, algorithm, key, _malformed)
    try:
        return key, parse_object(inner.payload)
    except ValueError as error:
        raise _malformed(f"its payload is not accepted: {error}") from None


def _malformed(reason: str) -> AcmeProblem:
    return malformed(f"the inner JWS is not accepted: {reason}")
