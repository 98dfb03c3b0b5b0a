"""From the octets that were submitted to a certificate signing request."""

from __future__ import annotations

from anchor.errors import UnreadableRequest
from anchor.X509 import cmc, pem
from anchor.X509.signing_request import PEM_LABELS, X509Csr

ENCODINGS = ("pem", "der")

# Windows labels a CMC message as a certificate request too: the contents tell, not the label.
_LABELS = PEM_LABELS | cmc.PEM_LABELS


def read_csr(octets: bytes, encoding: str) -> X509Csr:
    """The request in them, a PKCS#10 or one in a CMC message, whichever it is.

    Args:
        octets: as they were submitted.
        encoding: ``pem`` or ``der``.

    Raises:
        UnreadableRequest: there is none, or more than one, or it is not well-formed.
    """
    if encoding not in ENCODINGS:
        raise UnreadableRequest(f"the encoding is none of {', '.join(ENCODINGS)}")
    if encoding == "der" and not _begins_as_der(octets) and pem.holds_block(octets):
        raise UnreadableRequest("it is in PEM, not in DER: send it with the encoding pem")
    if encoding == "pem" and _begins_as_der(octets):
        raise UnreadableRequest("it is in DER, not in PEM: send it with the encoding der")
    der = pem.decode(octets, _LABELS) if encoding == "pem" else octets
    return X509Csr.from_der(cmc.unwrapped(der) if cmc.is_content_info(der) else der)


def detect_encoding(octets: bytes) -> str:
    """``der`` or ``pem``, whichever the contents show, for requests that come without it."""
    is_der = _begins_as_der(octets) or (octets[:1] == b"0" and not pem.holds_block(octets))
    return "der" if is_der else "pem"


def _begins_as_der(octets: bytes) -> bool:
    """Whether this begins with a SEQUENCE of 128 bytes or more, which no text begins with."""
    return octets[:2] in _LONG_SEQUENCES


# The tag is the figure 0 in ASCII; the bytes after it are no letters in Latin-1, and begin no
# character in UTF-8.
_LONG_SEQUENCES = (b"\x30\x81", b"\x30\x82", b"\x30\x83", b"\x30\x84")
