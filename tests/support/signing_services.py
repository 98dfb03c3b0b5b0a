"""Services that sign every request, but possibly with other contents."""

from __future__ import annotations

import datetime
import json
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import DAY, hash_for, now


def issue(csr, ca, **changes):
    """A certificate for a request; the changes replace fields of the request."""
    extensions = {extension.oid: extension.value for extension in csr.extensions}
    names = extensions.get(x509.SubjectAlternativeName.oid)
    names = changes.get("names", list(names) if names else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(changes.get("subject", csr.subject))
        .issuer_name(ca.certificate.subject)
        .public_key(changes.get("key", csr.public_key()))
        .serial_number(x509.random_serial_number())
        .not_valid_before(changes.get("not_before", now() - datetime.timedelta(minutes=1)))
        .not_valid_after(changes.get("not_after", now() + DAY))
        .add_extension(x509.BasicConstraints(changes.get("is_ca", False), None), True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    for extension in changes.get("extensions", ()):
        builder = builder.add_extension(extension, True)
    return builder.sign(ca.key, hash_for(ca.key))


def pem(certificate):
    return certificate.public_bytes(Encoding.PEM).decode()


def signing(ca, change=lambda csr: {}, *, chain=None, otherwise=None):
    """A WSGI application that signs what is posted.

    Args:
        ca: the CA.
        change: a function of the request that returns the changes for :func:`issue`.
        chain: the certificates of the chain in the response; None for the CA's.
        otherwise: the application for all other requests; None for a 404.
    """
    links = [ca.certificate] if chain is None else chain

    def application(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["REQUEST_METHOD"] != "POST":
            if otherwise:
                return otherwise(environ, start_response)
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b""]
        csr = x509.load_pem_x509_csr(parse_qs(body.decode())["csr"][0].encode())
        answer = {"certificate": pem(issue(csr, ca, **change(csr))), "chain": [*map(pem, links)]}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    return application
