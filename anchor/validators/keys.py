"""Checks on the key that is to be certified."""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from pydantic import AfterValidator

from anchor.validators import ValidationError
from anchor.X509.signing_request import PublicKey, X509Csr

# The largest of each kind that the rules which nothing switches off let through.
_LARGEST = {"RSA": 8192, "DSA": 3072, "EC": 521, "ED25519": 256, "ED448": 456}


def _minimum_sizes(sizes: dict[str, int | None]) -> dict[str, int]:
    for name, bits in sizes.items():
        if name not in _LARGEST:
            raise ValueError(f"{name[:80]!a} is not a kind of key: {', '.join(_LARGEST)}")
        if not 0 <= (bits or 0) <= _LARGEST[name]:
            raise ValueError(f"no {name} key that is accepted has at least {bits} bits")
    return {name: bits or 0 for name, bits in sizes.items()}


KeySizes = Annotated[dict[str, int | None], AfterValidator(_minimum_sizes)]


def public_key(csr: X509Csr, allowed_keys: KeySizes | None = None) -> None:
    """The key is of a listed kind, and large enough.

    Args:
        allowed_keys: the least size in bits by the kind of key; 0 or null allows every size.
    """
    name, bits = _kind_and_size(csr.public_key)
    if name not in (allowed_keys or {}):
        raise ValidationError("keys of this kind are not allowed", kind=name)
    least = (allowed_keys or {})[name] or 0
    if bits < least:
        raise ValidationError("the key is too small", kind=name, bits=bits, least=least)


def _kind_and_size(key: PublicKey) -> tuple[str, int]:
    match key:
        case rsa.RSAPublicKey():
            return "RSA", key.key_size
        case dsa.DSAPublicKey():
            return "DSA", key.key_size
        case ec.EllipticCurvePublicKey():
            return "EC", key.curve.key_size
        case ed25519.Ed25519PublicKey():
            return "ED25519", 256
        case ed448.Ed448PublicKey():
            return "ED448", 456
