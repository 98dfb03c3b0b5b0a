"""Making and verifying signatures with a key that is at hand.

``cryptography`` can ask a request or a certificate whether it is signed rightly, but then takes the
key out of its encoding once more, which costs as much again as an RSA verification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

CAPublicKey = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


SigningHash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512

# AlgorithmIdentifier in DER (RFC 4055 section 5, RFC 5758 section 3.2, RFC 8410 section 3).
_RSA = {
    "sha224": bytes.fromhex("300d06092a864886f70d01010e0500"),
    "sha256": bytes.fromhex("300d06092a864886f70d01010b0500"),
    "sha384": bytes.fromhex("300d06092a864886f70d01010c0500"),
    "sha512": bytes.fromhex("300d06092a864886f70d01010d0500"),
}
_ECDSA = {
    "sha224": bytes.fromhex("300a06082a8648ce3d040301"),
    "sha256": bytes.fromhex("300a06082a8648ce3d040302"),
    "sha384": bytes.fromhex("300a06082a8648ce3d040303"),
    "sha512": bytes.fromhex("300a06082a8648ce3d040304"),
}
_ED25519 = bytes.fromhex("300506032b6570")
_ED448 = bytes.fromhex("300506032b6571")


class Algorithm(NamedTuple):
    """How a key signs; ``identifier`` is the AlgorithmIdentifier in DER."""

    identifier: bytes
    sign: Callable[[bytes], bytes]


def algorithm(key: CertificateIssuerPrivateKeyTypes, signing_hash: SigningHash) -> Algorithm:
    """How a CA's key signs certificates; the hash is for those that take one.

    Raises:
        UnsupportedAlgorithm: it does not.
    """
    match key:
        case rsa.RSAPrivateKey():
            pkcs1 = padding.PKCS1v15()
            return Algorithm(
                _RSA[signing_hash.name], lambda octets: key.sign(octets, pkcs1, signing_hash)
            )
        case ec.EllipticCurvePrivateKey():
            ecdsa = ec.ECDSA(signing_hash)
            return Algorithm(_ECDSA[signing_hash.name], lambda octets: key.sign(octets, ecdsa))
        case ed25519.Ed25519PrivateKey():
            return Algorithm(_ED25519, key.sign)
        case ed448.Ed448PrivateKey():
            return Algorithm(_ED448, key.sign)
        case _:
            raise UnsupportedAlgorithm("the key is of a kind that signs no certificates")


# Takes a signature and what was signed, and raises InvalidSignature.
Verification = Callable[[bytes, bytes], None]


def verification(
    key: CAPublicKey | dsa.DSAPublicKey,
    parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None,
    signature_hash: hashes.HashAlgorithm | None,
) -> Verification:
    """How signatures of a key are verified.

    Args:
        key: of who should have signed.
        parameters: of the signature algorithm, as ``cryptography`` reads them.
        signature_hash: the hash, for algorithms that take one.

    Raises:
        UnsupportedAlgorithm: the algorithm is not known, or not one of the key's kind.
    """
    match key, parameters, signature_hash:
        case rsa.RSAPublicKey(), padding.PSS() | padding.PKCS1v15(), hashes.HashAlgorithm():
            return lambda signature, signed: key.verify(
                signature, signed, parameters, signature_hash
            )
        case ec.EllipticCurvePublicKey(), ec.ECDSA(), hashes.HashAlgorithm():
            return lambda signature, signed: key.verify(signature, signed, parameters)
        case dsa.DSAPublicKey(), None, hashes.HashAlgorithm():
            return lambda signature, signed: key.verify(signature, signed, signature_hash)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey(), None, None:
            return key.verify
        case _:
            raise UnsupportedAlgorithm("the signature is not of the key's kind")
