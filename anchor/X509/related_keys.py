"""Rejection of keys whose private key is related to a CA's private key."""

from __future__ import annotations

import math
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from anchor.X509.signing_request import PublicKey
from anchor.X509.weak_keys import WeakKey


class RelatedKeys:
    """The keys that are related to those of a CA and its chain.

    Args:
        ca_keys: the keys of the CA and its chain, as SubjectPublicKeyInfo.
    """

    def __init__(self, ca_keys: Iterable[bytes]):
        keys = [load_der_public_key(ca_key) for ca_key in ca_keys]
        self._moduli = [key.public_numbers().n for key in keys if isinstance(key, rsa.RSAPublicKey)]
        # Computed here: reading the point of a key takes longer than comparing it as bytes.
        self._negatives = frozenset(_negative(key) for key in keys)

    def refuse(self, key: PublicKey, public_key_info: bytes) -> None:
        """Raise WeakKey if the owner of one private key can compute the other.

        Args:
            key: the key of a request; a key that is the CA's own is checked elsewhere.
            public_key_info: the same key, as SubjectPublicKeyInfo.
        """
        if isinstance(key, rsa.RSAPublicKey):
            n = key.public_numbers().n
            if n in self._moduli:
                raise WeakKey("the key has the modulus of the CA's key")
            if any(math.gcd(n, ca_n) != 1 for ca_n in self._moduli):
                raise WeakKey("the key has a factor in common with the CA's key")
        elif public_key_info in self._negatives:
            raise WeakKey("the key is the negative of the CA's key")


def _negative(key: object) -> bytes | None:
    """The key whose private key is the negative of another one's; None if there is none."""
    negative: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    if isinstance(key, ec.EllipticCurvePublicKey):
        # SEC 1 2.3.3: the first byte, 2 or 3, is the sign of y.
        point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        point = bytes([point[0] ^ 1]) + point[1:]
        negative = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        negative = ed25519.Ed25519PublicKey.from_public_bytes(_flipped(key.public_bytes_raw()))
    elif isinstance(key, ed448.Ed448PublicKey):
        negative = ed448.Ed448PublicKey.from_public_bytes(_flipped(key.public_bytes_raw()))
    else:
        return None
    return negative.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _flipped(point: bytes) -> bytes:
    """The negative of an encoded point of an Edwards curve."""
    # RFC 8032 5.1.2 and 5.2.2: the highest bit is the sign of x.
    return point[:-1] + bytes([point[-1] ^ 0x80])
