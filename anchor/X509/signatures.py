"""Signature verification over the submitted bytes.

``cryptography`` encodes a request again before it verifies the signature.  The submitted request
may be encoded differently, and its signature covers the submitted bytes.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

CAPublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)

SigningHash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512


def verify_signature(
    key: CAPublicKey | dsa.DSAPublicKey,
    parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None,
    signature_hash: hashes.HashAlgorithm | None,
    *,
    signature: bytes,
    signed: bytes,
) -> None:
    """Verify a signature.

    Args:
        key: the public key of the signer.
        parameters: of the signature algorithm, as parsed by ``cryptography``.
        signature_hash: the hash, for algorithms that use one.
        signature: the signature.
        signed: the bytes that were signed.

    Raises:
        InvalidSignature: the signature is wrong.
        UnsupportedAlgorithm: the algorithm is unknown or does not fit the key.
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
