"""The binding of a new account to a token (RFC 8555 section 7.3.4)."""

from __future__ import annotations

import dataclasses
from typing import Any

from anchor.acme.inner_jws import parse_inner, require_account_key
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.services import AcmeServices
from anchor.auth.credentials import is_token_id
from anchor.auth.presented import Origin, TokenMac
from anchor.auth.results import AuthDetails
from anchor.errors import NotAuthenticated
from anchor.jose.flattened import FlattenedJws
from anchor.jose.public_keys import PublicJwk
from anchor.jose.strict_json import parse_object

_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_REFUSED = (
    "the externalAccountBinding is not accepted: the token is unknown, used up, expired, revoked, "
    "of another authority, or older than this authority's section 'acme'; or the HMAC key is not "
    "its secret, or another account has the same binding"
)


def authenticate_binding(
    services: AcmeServices, value: object, *, key: PublicJwk, url: str, origin: Origin
) -> AuthDetails:
    """The identity of the holder of the token that a binding names.

    Args:
        services: the authority.
        value: the member ``externalAccountBinding`` of the request.
        key: the key that has signed the request.
        url: the URL of the request.
        origin: where it came from.

    Raises:
        AcmeProblem: the binding is malformed.
        NotAuthenticated: the token is not accepted; the text never says why.
        TooManyAttempts: bindings failed too often.
        DatabaseUnavailable: the database is away, locked or full.
    """
    if not isinstance(value, dict):
        raise _malformed("it should be an object")
    binding = parse_inner(value, "kid", url, _malformed)
    algorithm, token_id = binding.header["alg"], binding.header["kid"]
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise AcmeProblem(
            ProblemType.BAD_SIGNATURE_ALGORITHM,
            f"the 'alg' of the externalAccountBinding should be one of {', '.join(_HASHES)}",
            more={"algorithms": list(_HASHES)},
        )
    if not isinstance(token_id, str):
        raise _malformed("its 'kid' should be the id of a token")
    require_account_key(_payload(binding), key, "its payload", _malformed)
    # First, because its error says that the authority accepts no tokens.
    services.authority.methods.of_tokens()
    # A secret in the place of a token's identifier must not get into the record.
    user = token_id if is_token_id(token_id) else ""
    # After a change of the account's key, the old key could create another account with it.
    is_used = bool(user) and services.accounts.has_binding(token_id, binding.members)
    try:
        return services.authority.authenticate(
            TokenMac(
                token_id=token_id,
                algorithm=_HASHES[algorithm],
                message=binding.signing_input,
                mac=binding.signature,
                is_used=is_used,
                origin=dataclasses.replace(origin, user=user),
            )
        )
    except NotAuthenticated as error:
        error.args = (_REFUSED,)
        raise


def _payload(binding: FlattenedJws) -> dict[str, Any]:
    try:
        return parse_object(binding.payload)
    except ValueError as error:
        raise _malformed(f"its payload should be the key of the account: {error}") from None


def _malformed(reason: str) -> AcmeProblem:
    return malformed(f"the externalAccountBinding is not accepted: {reason}")
