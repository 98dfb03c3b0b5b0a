"""Requests of EST clients to a service in the test's process."""

from __future__ import annotations

import base64
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from tests.support.pki import make_csr

EST = "/.well-known/est"
CSR = make_csr("www.example.com", "www.example.com", "b.example.com")
BASIC = {"Authorization": "Basic " + base64.b64encode(b"alice:s3cret").decode()}


def body_of(csr):
    """A request in PEM as the body of an enrollment."""
    return base64.b64encode(x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER))


def post(service, path, body=None, *, headers=None, certificate=None, status="*", **environ):
    """Post a request to :class:`tests.support.service.Service`.

    Args:
        service: the service.
        path: the path after ``/.well-known/est/``.
        body: the body; by default the base64 of a good request.
        headers: more headers; those that are None are left out.
        certificate: the TLS client certificate.
        status: the expected status; any by default.
        environ: more variables of WSGI.
    """
    if certificate is not None:
        pem = certificate.public_bytes(Encoding.PEM)
        environ["ANCHOR_CLIENT_CERTIFICATE"] = urllib.parse.quote(pem)
    every = {"Content-Type": "application/pkcs10", **(headers or {})}
    return service.http.post(
        f"{EST}/{path}",
        body_of(CSR) if body is None else body,
        headers={name: value for name, value in every.items() if value is not None},
        extra_environ=environ,
        status=status,
    )


def certificates_in(answer):
    """The certificates in a certs-only message."""
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body))
