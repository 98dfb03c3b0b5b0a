"""Certificate signing requests from PEM, DER or CMC."""

from __future__ import annotations

from anchor.errors import UnreadableRequest
from anchor.X509 import cmc, pem
from anchor.X509.signing_request import PEM_LABELS, X509Csr

ENCODINGS = ("pem", "der")

# Windows labels CMC messages as certificate requests too, so the contents decide, not the label.
_LABELS = PEM_LABELS | cmc.PEM_LABELS


def read_csr(submitted: bytes, encoding: str) -> X509Csr:
    """The request in a PKCS#10 or CMC message.

    Args:
        submitted: the message.
        encoding: ``pem`` or ``der``.

    Raises:
        UnreadableRequest: there is not exactly one well-formed request.
    """
    if encoding not in ENCODINGS:
        raise UnreadableRequest(f"the encoding is not one of {', '.join(ENCODINGS)}")
    if encoding == "der" and not _begins_like_der(submitted) and pem.contains_block(submitted):
        raise UnreadableRequest("the request is in PEM, not in DER: send it with the encoding pem")
    if encoding == "pem" and _begins_like_der(submitted):
        raise UnreadableRequest("the request is in DER, not in PEM: send it with the encoding der")
    if encoding == "der":
        return _read_der(submitted)
    try:
        return _read_der(pem.decode(submitted, _LABELS))
    except UnreadableRequest as error:
        if not pem.has_lost_plus_signs(submitted):
            raise
        raise UnreadableRequest(
            "the PEM block has spaces where '+' belongs: percent-encode the value of the field, as "
            "curl does with --data-urlencode"
        ) from error


def _read_der(der: bytes) -> X509Csr:
    return X509Csr.from_der(cmc.extract_csr(der) if cmc.is_content_info(der) else der)


def detect_encoding(submitted: bytes) -> str:
    """The encoding of a request, ``der`` or ``pem``, judged by its contents."""
    if _begins_like_der(submitted):
        return "der"
    return "der" if submitted[:1] == b"0" and not pem.contains_block(submitted) else "pem"


def _begins_like_der(submitted: bytes) -> bool:
    """True if it begins with a SEQUENCE of 128 bytes or more; no text begins so."""
    return submitted[:2] in _LONG_SEQUENCES


# The tag is "0" in ASCII.  The byte after it is no letter in Latin-1 and starts no character in
# UTF-8.
_LONG_SEQUENCES = (b"\x30\x81", b"\x30\x82", b"\x30\x83", b"\x30\x84")
