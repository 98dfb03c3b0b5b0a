"""Rejection of keys whose private key is related to a CA's private key."""

from __future__ import annotations

import math

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from anchor.X509.weak_keys import WeakKey


def require_unrelated(key: PublicKeyTypes, ca_key: PublicKeyTypes) -> None:
    """Raise WeakKey if the owner of one private key can compute the other.

    Args:
        key: the key of a request; an identical key is checked elsewhere.
        ca_key: the key of a CA.
    """
    if isinstance(key, rsa.RSAPublicKey) and isinstance(ca_key, rsa.RSAPublicKey):
        n, ca_n = key.public_numbers().n, ca_key.public_numbers().n
        if n == ca_n:
            raise WeakKey("the key has the modulus of the CA's key")
        if math.gcd(n, ca_n) != 1:
            raise WeakKey("the key has a factor in common with the CA's key")
    elif _are_negatives(key, ca_key):
        raise WeakKey("the key is the negative of the CA's key")


def _are_negatives(key: PublicKeyTypes, other: PublicKeyTypes) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(other, ec.EllipticCurvePublicKey):
        return key.curve.name == other.curve.name and (
            key.public_numbers().x == other.public_numbers().x
        )
    for kind in (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey):
        if isinstance(key, kind) and isinstance(other, kind):
            first, second = key.public_bytes_raw(), other.public_bytes_raw()
            # RFC 8032 5.1.2 and 5.2.2: the highest bit is the sign of x.
            return first[:-1] == second[:-1] and first[-1] ^ second[-1] in (0, 0x80)
    return False
