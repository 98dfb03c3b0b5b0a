"""The challenge ``dns-01`` (RFC 8555 section 8.4)."""

from __future__ import annotations

from anchor.acme.problems import ProblemType
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.resolver import Resolver
from anchor.jose.compact import encode_base64url


def validate(attempt: Attempt, resolver: Resolver) -> None:
    """Require that a TXT record has the digest of the key authorization.

    Raises:
        ChallengeFailed: none has it, or the lookup failed.
    """
    name = f"_acme-challenge.{attempt.identifier.base}"
    texts = resolver.texts(name)
    if encode_base64url(attempt.digest).encode("ascii") not in texts:
        raise ChallengeFailed(
            ProblemType.INCORRECT_RESPONSE,
            f"{name} should have a TXT record with the SHA-256 of the key authorization in "
            f"base64url, and has {len(texts) or 'no'} TXT records"
            + (" with other contents" if texts else ""),
        )
