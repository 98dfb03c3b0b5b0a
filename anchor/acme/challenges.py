"""Challenges: which are offered for a name, and what a client's response to one leads to."""

from __future__ import annotations

import secrets

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.jose.compact import encode_base64url
from anchor.store.acme_records import Challenge, Identifier

_TOKEN_BYTES = 32
# RFC 8738 section 7 has no DNS challenge for addresses, and RFC 8555 section 7.1.3 requires one
# for wildcards.
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
    # Last, because uacme drops an order when a challenge without a token stands before its own.
    types.sort(key=_PERSISTENT.__eq__)
    return tuple(
        Challenge(type=each, token="" if each == _PERSISTENT else _new_token()) for each in types
    )


def _fitting(settings: AcmeSettings, identifier: Identifier) -> list[str]:
    if identifier.type == "ip":
        return [each for each in settings.challenges if each in _FOR_ADDRESSES]
    if identifier.is_wildcard:
        return [each for each in settings.challenges if each in _FOR_WILDCARDS]
    return list(settings.challenges)


def _new_token() -> str:
    """A token of 256 random bits; RFC 8555 section 8.1 requires 128."""
    return encode_base64url(secrets.token_bytes(_TOKEN_BYTES))
