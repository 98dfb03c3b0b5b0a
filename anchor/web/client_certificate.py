"""The client's TLS certificate, from the server or from the proxy that terminates TLS.

No client can set these sources; doc/source/howto/client-certificates.rst says why.
"""

from __future__ import annotations

import base64
import ssl
from urllib.parse import unquote_to_bytes

from cryptography import x509

from anchor.errors import MalformedSubmission, UnreadableRequest
from anchor.web.request import Request
from anchor.X509 import pem
from anchor.X509.parse_errors import translate_parse_errors, without_length_warnings

PARAMETER = "ANCHOR_CLIENT_CERTIFICATE"
"""The variable that nginx sets with ``uwsgi_param``."""

UWSGI_PARAMETER = "HTTPS_CC"
"""The variable of uwsgi's HTTPS router with the option ``https-export-cert``."""

HEADER = "anchor.client_certificate_header"
"""The key in the environment of the option ``client_certificate_header``."""

MAX_CERTIFICATE = 65536


def client_certificate(request: Request) -> bytes | None:
    """The client's certificate in DER; None if the client has shown none.

    The client has proved that it has the key.  Nothing else about the certificate was verified.

    Raises:
        MalformedSubmission: the proxy sent something else than one certificate.
    """
    if request.is_from_trusted_proxy:
        # TLS with the proxy shows the proxy's own certificate, if any, and never the client's.
        return _from_header(request)
    for name in (PARAMETER, UWSGI_PARAMETER):
        if name in request.environ:
            return _decode(request.environ[name], f"the variable {name}")
    connection = request.environ.get("gunicorn.socket")
    if isinstance(connection, ssl.SSLSocket):
        return connection.getpeercert(binary_form=True)
    return None


def _from_header(request: Request) -> bytes | None:
    header: str | None = request.environ.get(HEADER)
    if header is None:
        return None
    key = "HTTP_" + header.upper().replace("-", "_")
    return _decode(request.environ.get(key, ""), f"the header {header}")


def _decode(text: str, source: str) -> bytes | None:
    """The DER of a certificate; None if the text or the byte sequence is empty.

    Args:
        text: PEM, with or without percent-encoding, or a byte sequence of RFC 9440.
        source: the origin of the text, for errors.
    """
    # HAProxy and Caddy write the colons also around nothing.
    if text in ("", "::"):
        return None
    if len(text) > MAX_CERTIFICATE:
        raise MalformedSubmission(
            f"the client certificate in {source} is longer than {MAX_CERTIFICATE} characters"
        )
    if "," in text:
        # Servers join the values of a header that occurs several times.
        raise MalformedSubmission(f"{source} contains more than one client certificate")
    try:
        der = _byte_sequence(text) if text.startswith(":") else _escaped_pem(text)
        with translate_parse_errors("certificate"), without_length_warnings(der):
            x509.load_der_x509_certificate(der)
    except (ValueError, UnreadableRequest) as error:
        raise MalformedSubmission(
            f"{source} contains no client certificate in PEM or in the form of RFC 9440"
        ) from error
    return der


def _byte_sequence(text: str) -> bytes:
    # RFC 9440 section 2.1: base64 between colons.
    if len(text) < 2 or not text.endswith(":"):
        raise ValueError("the byte sequence does not end with a colon")
    return base64.b64decode(text[1:-1].encode("latin-1", "replace"), validate=True)


def _escaped_pem(text: str) -> bytes:
    return pem.decode(unquote_to_bytes(text), frozenset({"CERTIFICATE"}))
