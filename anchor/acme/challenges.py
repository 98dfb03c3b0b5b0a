"""Challenges: which are offered for a name, and what a client's response to one leads to."""

from __future__ import annotations

import dataclasses
import logging
import secrets

from anchor.acme.problems import AcmeProblem, ProblemType, Subproblem, malformed
from anchor.acme.services import AcmeServices
from anchor.acme.settings import AcmeSettings
from anchor.acme.urls import AcmeUrls
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.failures import ChallengeFailed
from anchor.auth.presented import Origin
from anchor.jose.compact import encode_base64url
from anchor.jose.public_keys import PublicJwk
from anchor.store.acme_records import (
    Account,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
)
from anchor.store.database import acme_challenges

LOG = logging.getLogger(__name__)

_TOKEN_BYTES = 32
# RFC 8738 section 7 excludes DNS challenges for addresses; a wildcard does not name a machine.
_FOR_ADDRESSES = frozenset({"http-01", "tls-alpn-01"})
_FOR_WILDCARDS = frozenset({"dns-01", "dns-persist-01"})
_PERSISTENT = "dns-persist-01"


def offered(settings: AcmeSettings, identifier: Identifier) -> tuple[Challenge, ...]:
    """New challenges for a name, of the configured types that fit it.

    Args:
        settings: the section ``acme`` of the authority, with at least one type of challenge.
        identifier: the name.

    Raises:
        AcmeProblem: no configured type fits the name.
    """
    types = _fitting(settings, identifier)
    if not types:
        kind = "an address" if identifier.type == "ip" else "a wildcard"
        fitting = _FOR_ADDRESSES if identifier.type == "ip" else _FOR_WILDCARDS
        raise AcmeProblem(
            ProblemType.REJECTED_IDENTIFIER,
            f"{identifier.value} is {kind}, which needs a challenge of the type "
            f"{' or '.join(sorted(fitting))}; this directory offers only "
            f"{', '.join(settings.challenges)}",
        )
    # Last: uacme drops an order if a challenge without a token precedes the one that it uses.
    types.sort(key=_PERSISTENT.__eq__)
    return tuple(
        Challenge(type=each, token="" if each == _PERSISTENT else _new_token()) for each in types
    )


def of_type(authorization: Authorization, challenge_type: str) -> Challenge:
    """The challenge of a type.

    Raises:
        AcmeProblem: the authorization has no such challenge.
    """
    for challenge in authorization.challenges:
        if challenge.type == challenge_type:
            return challenge
    raise AcmeProblem(ProblemType.NOT_FOUND, "the authorization has no such challenge")


def respond(
    services: AcmeServices,
    urls: AcmeUrls,
    *,
    account: Account,
    key: PublicJwk,
    authorization: Authorization,
    challenge_type: str,
    origin: Origin,
) -> tuple[Authorization, Challenge]:
    """Validate a challenge, and store the result (RFC 8555 section 7.5.1).

    Nothing is stored until the validation has ended: a process that is killed leaves the challenge
    pending, and the client can respond again.

    Args:
        services: the authority.
        urls: the URLs of the directory.
        account: the account, which owns the authorization.
        key: its key.
        authorization: the authorization, with the status at this time.
        challenge_type: which of its challenges.
        origin: where the response came from, for the log.

    Returns:
        the authorization and the challenge, with the result of the response that was validated
        first.

    Raises:
        AcmeProblem: there is no such challenge, it has ended, or too many are being validated.
        DatabaseUnavailable: the database is away, locked or full.
    """
    challenge = of_type(authorization, challenge_type)
    if authorization.status in (AuthorizationStatus.VALID, AuthorizationStatus.INVALID):
        return authorization, challenge
    validator = services.validator
    if validator is None or challenge_type not in services.settings.challenges:
        raise _ended("this directory offers no such challenge any more")
    if authorization.status is not AuthorizationStatus.PENDING:
        raise _ended(f"the authorization is {authorization.status.value}")
    attempt = Attempt(
        type=challenge.type,
        identifier=authorization.identifier,
        token=challenge.token,
        key=key,
        account_url=urls.account(account.id),
    )
    failure = validator.validate(attempt, services.clock())
    LOG.info(
        "request %s: %s of account %s for %s, order %s: %s",
        origin.request_id,
        challenge.type,
        account.id,
        authorization.identifier,
        authorization.order_id,
        "valid" if failure is None else f"invalid, {failure}",
    )
    _store(services, authorization, challenge, failure)
    stored = services.orders.find_authorization(authorization.id)
    if stored is None:
        raise AcmeProblem(ProblemType.NOT_FOUND, "the order was deleted meanwhile")
    return stored, of_type(stored, challenge_type)


def _store(
    services: AcmeServices,
    authorization: Authorization,
    challenge: Challenge,
    failure: ChallengeFailed | None,
) -> None:
    """Store a result, unless there is one already."""
    now = services.clock()
    identifier = authorization.identifier
    if failure is None:
        result = dataclasses.replace(challenge, status=ChallengeStatus.VALID, validated=now)
        order_error = None
    else:
        result = dataclasses.replace(
            challenge, status=ChallengeStatus.INVALID, error=failure.as_json()
        )
        subproblem = Subproblem(failure.kind, str(failure), identifier)
        order_error = AcmeProblem(
            failure.kind,
            f"the challenge {challenge.type} for {identifier} failed: {failure}",
            subproblems=[subproblem],
        ).as_json()
    acme_challenges.settle(
        services.orders.database,
        authorization,
        [result if each.type == result.type else each for each in authorization.challenges],
        order_error=order_error,
        now=now,
    )


def _ended(reason: str) -> AcmeProblem:
    return malformed(f"{reason}: create a new order")


def _fitting(settings: AcmeSettings, identifier: Identifier) -> list[str]:
    if identifier.type == "ip":
        return [each for each in settings.challenges if each in _FOR_ADDRESSES]
    if identifier.is_wildcard:
        return [each for each in settings.challenges if each in _FOR_WILDCARDS]
    return list(settings.challenges)


def _new_token() -> str:
    """A token of 256 random bits; RFC 8555 section 8.1 requires 128."""
    return encode_base64url(secrets.token_bytes(_TOKEN_BYTES))
