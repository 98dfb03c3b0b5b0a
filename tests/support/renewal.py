"""Renewal proofs, made with a certificate and its key."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.support import jwt
from tests.support.pki import make_csr

URL = "http://localhost/v1/renew/default"
"""The door of an application that webtest calls."""


def der(csr):
    """The request in DER, from PEM."""
    return x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)


@functools.cache
def jose_key(key):
    """A private key for joserfc, and the usual algorithm for it."""
    # joserfc checks the primes of an RSA key, which takes 30 ms.
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    match key:
        case rsa.RSAPrivateKey():
            return RSAKey.import_key(pem), "RS256"
        case ec.EllipticCurvePrivateKey():
            algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[key.key_size]
            return ECKey.import_key(pem), algorithm
        case ed25519.Ed25519PrivateKey():
            return OKPKey.import_key(pem), "EdDSA"
    raise AssertionError(f"no signatures of JOSE are made with {key}")


def make_proof(certificate, key, csr, *, url=URL, header=None, **changes):
    """A proof for a request.

    Args:
        certificate: the certificate to renew.
        key: its private key.
        csr: the request in PEM.
        url: the URL of the door.
        header: members of the header to change; None leaves one out.
        changes: members of the payload to change; None leaves one out.
    """
    signer, algorithm = jose_key(key)
    now = int(time.time())
    encoded = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    made = {"alg": algorithm, "typ": "anchor-renewal+jws", "x5c": [encoded], **(header or {})}
    payload = {
        "aud": url,
        "csr": jwt.b64(hashlib.sha256(der(csr)).digest()),
        "iat": now,
        "exp": now + 300,
        "jti": os.urandom(16).hex(),
        **changes,
    }
    parts = (
        json.dumps({name: value for name, value in part.items() if value is not None}).encode()
        for part in (made, payload)
    )
    return jwt.sign_raw(*parts, signer, made["alg"] or algorithm)


def renew_over_tls(service, certificate, csr=None, *, authority="default", status=None):
    """Renew a certificate as if the server had received it as the TLS client certificate."""
    pem = urllib.parse.quote(certificate.public_bytes(Encoding.PEM))
    return service.http.post(
        f"/v1/renew/{authority}",
        {"encoding": "pem", "csr": csr or make_csr()},
        extra_environ={"ANCHOR_CLIENT_CERTIFICATE": pem},
        status=status or "*",
    )


def renewed(service, certificate, csr=None, **kwargs):
    """The certificate of a renewal over TLS that succeeds."""
    answer = renew_over_tls(service, certificate, csr, status=200, **kwargs)
    return x509.load_pem_x509_certificate(answer.body)


def renew(service, certificate, key, csr=None, *, authority="default", status=None, **proof):
    """Renew a certificate at a :class:`tests.support.service.Service`, with a proof."""
    csr = csr or make_csr(key=key)
    url = URL.replace("/default", f"/{authority}")
    form = {
        "encoding": "pem",
        "csr": csr,
        "proof": make_proof(certificate, key, csr, **{"url": url, **proof}),
    }
    return service.http.post(f"/v1/renew/{authority}", form, status=status or "*")
