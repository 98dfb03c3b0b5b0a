"""The client's TLS certificate, from the server or a proxy that terminates TLS."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from anchor.errors import MalformedSubmission
from anchor.web.request import Request
from anchor.X509 import pem

PARAMETER = "ANCHOR_CLIENT_CERTIFICATE"
"""The variable of the uwsgi protocol, which no HTTP header can set."""

MAX_CERTIFICATE = 65536


def client_certificate(request: Request) -> bytes | None:
    """The client's certificate in DER; None if the client has shown none.

    The client has proved that it has the key.  Nothing else about the certificate was verified.

    Raises:
        MalformedSubmission: the proxy sent something else.
    """
    escaped = request.environ.get(PARAMETER) or ""
    if not escaped:
        return None
    if len(escaped) > MAX_CERTIFICATE:
        raise MalformedSubmission("the client certificate is too long")
    return pem.decode(unquote_to_bytes(escaped), frozenset({"CERTIFICATE"}))
