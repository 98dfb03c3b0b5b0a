"""The messages of EST: requests and certificates in base64 (RFC 7030 section 4, RFC 8951)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID

from anchor.errors import UnreadableRequest
from anchor.X509 import pem
from anchor.X509.signing_request import PEM_LABELS, X509Csr

# RFC 6402 section 2.8.
_CHANGE_SUBJECT_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36")

_REFUSED_ATTRIBUTES = {
    AttributeOID.CHALLENGE_PASSWORD: (
        "the request has a challengePassword: make a request without one. It would have to be "
        "compared with the TLS connection (RFC 7030 section 3.5), which this service does not see"
    ),
    _CHANGE_SUBJECT_NAME: (
        "the request has the attribute ChangeSubjectName (RFC 6402 section 2.8), but a renewal "
        "keeps the subject: enroll with the new subject instead"
    ),
}

_BLANKS = b" \t\r\n\v\f"
_WIDTH = 64
# OpenSSL decodes no line of more than 1024 characters.
_LONGEST_LINE = 1000


def parse_request(body: bytes) -> X509Csr:
    """The request in the body of an enrollment: base64, or DER or PEM.

    Raises:
        UnreadableRequest: it is not exactly one well-formed request, or it has an attribute that
            EST would have to process.
    """
    csr = X509Csr.from_der(_decode(body))
    for attribute, reason in _REFUSED_ATTRIBUTES.items():
        if attribute in csr.submitted.attributes:
            raise UnreadableRequest(reason)
    return csr


def _decode(body: bytes) -> bytes:
    # DER begins with "0", and its base64 with "M".
    if body.startswith(b"0"):
        return body
    if pem.contains_block(body):
        return pem.decode(body, PEM_LABELS)
    text = body.translate(None, _BLANKS)
    if not text:
        raise UnreadableRequest("there is no certificate signing request in the body")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise UnreadableRequest(
            "the body is not base64: send the base64 of the request in DER (RFC 8951 section 3)"
        ) from None


def certs_only(certificates: Iterable[x509.Certificate]) -> bytes:
    """A CMS message with certificates, in DER (RFC 7030 sections 4.1.3 and 4.2.3)."""
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def encode(der: bytes, *, one_line: bool) -> bytes:
    """The base64 of a message, with a line feed at the end.

    No layout suits all clients: strongSwan before 5.9.11 reads one line only, and OpenSSL and
    libest read no line of more than 1024 characters.

    Args:
        der: the message.
        one_line: True for one line of any length; otherwise a long text has lines of 64.
    """
    text = base64.b64encode(der)
    if one_line or len(text) <= _LONGEST_LINE:
        return text + b"\n"
    starts = range(0, len(text), _WIDTH)
    return b"".join(text[start : start + _WIDTH] + b"\n" for start in starts)
