"""The proof that this machine has the key of a certificate: a signed statement (JWS)."""

from __future__ import annotations

import base64
import hashlib
import secrets

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def algorithm_of(key: CertificateIssuerPrivateKeyTypes | PrivateKeyTypes) -> str | None:
    """The algorithm of JOSE (RFC 7518, RFC 8037) for a key; None if there is none.

    The service accepts none for Ed448, DSA and other curves.
    """
    match key:
        case rsa.RSAPrivateKey():
            return "RS256"
        case ec.EllipticCurvePrivateKey():
            return _CURVES.get(key.curve.name)
        case ed25519.Ed25519PrivateKey():
            return "EdDSA"
        case _:
            return None


def make_proof(
    *,
    certificate: x509.Certificate,
    key: CertificateIssuerPrivateKeyTypes,
    csr: x509.CertificateSigningRequest,
    url: str,
    now: float,
) -> str:
    """A proof that is good once, for one request.

    Args:
        certificate: the certificate to renew.
        key: its private key, for which :func:`algorithm_of` returns an algorithm.
        csr: the request for the new certificate.
        url: the URL to which both are posted.
        now: the time of the service, in seconds since the epoch.
    """
    # joserfc takes long to import, and most runs make no proof.
    from joserfc.jwk import ECKey, OKPKey, RSAKey  # noqa: PLC0415

    from anchor.jose.compact import encode_base64url  # noqa: PLC0415
    from anchor.jose.signatures import sign  # noqa: PLC0415
    from anchor.renewal.proof import MAX_SECONDS, TYPE  # noqa: PLC0415

    algorithm = algorithm_of(key)
    assert algorithm is not None
    kind = {"R": RSAKey, "E": OKPKey if algorithm == "EdDSA" else ECKey}[algorithm[0]]
    jose_key = kind.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    header = {
        "alg": algorithm,
        "typ": TYPE,
        "x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")],
    }
    issued = int(now)
    payload = {
        "aud": url,
        "csr": encode_base64url(hashlib.sha256(csr.public_bytes(Encoding.DER)).digest()),
        "iat": issued,
        "exp": issued + MAX_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    return sign(header, payload, jose_key)
