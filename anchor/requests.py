"""From the octets that were submitted to a certificate signing request."""

from __future__ import annotations

from anchor import cmc
from anchor.errors import UnreadableRequest
from anchor.X509 import pem
from anchor.X509.signing_request import PEM_LABELS, X509Csr

ENCODINGS = ("pem", "der")


def read(octets: bytes, encoding: str) -> X509Csr:
    """The request in them, a PKCS#10 or one in a CMC message, whichever it is.

    Args:
        octets: as they were submitted.
        encoding: ``pem`` or ``der``.

    Raises:
        UnreadableRequest: there is none, or more than one, or it is not well-formed.
    """
    if encoding not in ENCODINGS:
        raise UnreadableRequest(f"the encoding is none of {', '.join(ENCODINGS)}")
    # Windows labels a CMC message as a certificate request too: the contents tell, not the label.
    der = pem.decode(octets, PEM_LABELS | cmc.PEM_LABELS) if encoding == "pem" else octets
    return X509Csr.from_der(cmc.unwrapped(der) if cmc.is_content_info(der) else der)
