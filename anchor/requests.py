"""From the octets that were submitted to a certificate signing request."""

from __future__ import annotations

from anchor.errors import UnreadableRequest
from anchor.X509.signing_request import X509Csr

ENCODINGS = ("pem", "der")


def read(octets: bytes, encoding: str) -> X509Csr:
    """The request in them.

    Raises:
        UnreadableRequest: there is none, or more than one, or it is not well-formed.
    """
    if encoding == "pem":
        return X509Csr.from_pem(octets)
    if encoding == "der":
        return X509Csr.from_der(octets)
    raise UnreadableRequest(f"the encoding is none of {', '.join(ENCODINGS)}")
