"""Verifying signatures with a key that is at hand.

``cryptography`` can ask a request or a certificate whether it is signed rightly, but then takes the
key out of its encoding once more, which costs as much again as an RSA verification.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

CAPublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


def verify(
    key: CAPublicKey | dsa.DSAPublicKey,
    signature: bytes,
    signed: bytes,
    parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None,
    signature_hash: hashes.HashAlgorithm | None,
) -> None:
    """Return if the signature is right.

    Args:
        key: of who should have signed.
        signature: as it stands in the request or certificate.
        signed: the octets that were signed.
        parameters: of the signature algorithm, as ``cryptography`` reads them.
        signature_hash: the hash, for algorithms that take one.

    Raises:
        InvalidSignature: it is not, or it is of an algorithm for keys of another kind.
        UnsupportedAlgorithm: the algorithm is not known.
    """
    match key, parameters, signature_hash:
        case rsa.RSAPublicKey(), padding.PSS() | padding.PKCS1v15(), hashes.HashAlgorithm():
            key.verify(signature, signed, parameters, signature_hash)
        case ec.EllipticCurvePublicKey(), ec.ECDSA(), hashes.HashAlgorithm():
            key.verify(signature, signed, parameters)
        case dsa.DSAPublicKey(), None, hashes.HashAlgorithm():
            key.verify(signature, signed, signature_hash)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey(), None, None:
            key.verify(signature, signed)
        case _:
            raise UnsupportedAlgorithm("the signature is not of the key's kind")
