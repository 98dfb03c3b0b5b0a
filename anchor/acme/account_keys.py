"""The keys of accounts: their algorithms, their sizes and their signatures."""

from __future__ import annotations

from typing import Any

from anchor.acme.inner_jws import Refuse
from anchor.acme.problems import AcmeProblem, ProblemType, malformed
from anchor.acme.services import AcmeServices
from anchor.jose.algorithms import KEY_KINDS
from anchor.jose.flattened import FlattenedJws
from anchor.jose.public_keys import PublicJwk, parse_public_jwk
from anchor.jose.signatures import verify
from anchor.X509.weak_keys import WeakKey

ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "RS256")
"""The algorithms of account keys, in the order of preference."""

MAX_RSA_BITS = 4096
"""The size of the largest RSA key of an account."""


def require_algorithm(header: dict[str, Any]) -> str:
    """The algorithm in a header.

    Raises:
        AcmeProblem: it is not one of :data:`ALGORITHMS`.
    """
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise AcmeProblem(
            ProblemType.BAD_SIGNATURE_ALGORITHM,
            f"the 'alg' in the header should be one of {', '.join(ALGORITHMS)}",
            more={"algorithms": list(ALGORITHMS)},
        )
    return algorithm


def parse_key(jwk: object, *, max_rsa_bits: int = MAX_RSA_BITS) -> PublicJwk:
    """The key that has signed a request; see :func:`require_acceptable` before it is stored.

    Args:
        jwk: the key in the header.
        max_rsa_bits: the size of the largest RSA key, by default that of accounts.

    Raises:
        AcmeProblem: it is malformed, too small or too large.
    """
    try:
        key = parse_public_jwk(jwk)
    except (ValueError, WeakKey) as error:
        raise _bad_key(error) from None
    if key.kind[0] == "RSA" and key.public_key.key_size > max_rsa_bits:
        raise _bad_key(f"the RSA key has more than {max_rsa_bits} bits")
    return key


def _bad_key(reason: object) -> AcmeProblem:
    """A problem of the type ``badPublicKey``."""
    return AcmeProblem(ProblemType.BAD_PUBLIC_KEY, f"the key in 'jwk' is not accepted: {reason}")


def _refuse_body(reason: str) -> AcmeProblem:
    return malformed(f"the body is not accepted: {reason}")


def verify_signature(
    signed: FlattenedJws, algorithm: str, key: PublicJwk, refuse: Refuse = _refuse_body
) -> None:
    """Require that a request is signed with a key.

    Args:
        signed: the request, or the JWS inside of it.
        algorithm: the algorithm in the header.
        key: the key.
        refuse: makes the problem document for a wrong signature.

    Raises:
        AcmeProblem: the algorithm does not fit the key, or the signature is wrong.
    """
    if KEY_KINDS[algorithm] != key.kind:
        raise AcmeProblem(
            ProblemType.BAD_SIGNATURE_ALGORITHM,
            "the 'alg' in the header does not fit the key",
            more={"algorithms": [name for name in ALGORITHMS if KEY_KINDS[name] == key.kind]},
        )
    try:
        verify(signed, algorithm, key.key)
    except ValueError as error:
        raise refuse(str(error)) from None


def require_acceptable(services: AcmeServices, key: PublicJwk) -> None:
    """Require that a key is not banned, and that nobody can compute its private key.

    It takes up to 30 ms, so a request is verified before, and only keys that get stored are tested.

    Raises:
        AcmeProblem: it is banned or weak.
        DatabaseUnavailable: the database is away.
    """
    if services.bans.bans_key(key.fingerprint, services.clock()):
        raise _bad_key("it is banned; use another one")
    try:
        key.require_strong()
    except WeakKey as error:
        raise _bad_key(error) from None
