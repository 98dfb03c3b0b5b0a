"""The challenge ``dns-persist-01`` (draft-ietf-acme-dns-persist-01)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection

from anchor.acme.problems import ProblemType
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.issue_values import parse_issue_value
from anchor.acme.validation.resolver import Resolver

_SECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)


def validate(
    attempt: Attempt, issuers: Collection[str], resolver: Resolver, now: datetime.datetime
) -> None:
    """Require that a TXT record lets the account get certificates for the name.

    Args:
        attempt: the response to the challenge.
        issuers: the names of this CA.
        resolver: looks up names.
        now: the time, in UTC.

    Raises:
        ChallengeFailed: none does, or the lookup failed.
    """
    name = f"_validation-persist.{attempt.identifier.base}"
    texts = resolver.texts(name)
    if not any(_permits(text, attempt, issuers, now) for text in texts):
        policy = "; policy=wildcard" if attempt.identifier.is_wildcard else ""
        raise ChallengeFailed(
            ProblemType.INCORRECT_RESPONSE,
            f"{name} should have a TXT record '{sorted(issuers)[0]}; "
            f"accounturi={attempt.account_url}{policy}' that has not ended (persistUntil), and has "
            f"{len(texts) or 'no'} TXT records" + (" with other contents" if texts else ""),
        )


def _permits(
    text: bytes, attempt: Attempt, issuers: Collection[str], now: datetime.datetime
) -> bool:
    try:
        value = parse_issue_value(text)
    except ValueError:
        return False
    parameters = value.parameters
    until = parameters.get("persistuntil")
    if until is not None and not (_SECONDS.fullmatch(until) and now.timestamp() <= int(until)):
        return False
    if attempt.identifier.is_wildcard and parameters.get("policy", "").lower() != "wildcard":
        return False
    return value.issuer in issuers and parameters.get("accounturi") == attempt.account_url
