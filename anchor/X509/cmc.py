"""Certificate signing requests in CMC full requests (RFC 5272), as Windows sends them.

Only the PKCS#10 inside is used.  Its signature proves possession of the key, and credentials
authenticate the requester, so the signature of the CMC message is not verified.
"""

from __future__ import annotations

from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

from anchor.errors import UnreadableRequest
from anchor.X509.csr_encoding import (
    EXTENSION_REQUEST,
    MICROSOFT_EXTENSION_REQUEST,
    Attribute,
    Sequence,
    unwrap,
)
from anchor.X509.parse_errors import translate_parse_errors

PEM_LABELS = frozenset({"CMC", "CMS", "PKCS7"})

_SIGNED_DATA = x509.ObjectIdentifier("1.2.840.113549.1.7.2")
_PKI_DATA = x509.ObjectIdentifier("1.3.6.1.5.5.7.12.2")

_MICROSOFT_ADD_ATTRIBUTES = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.10.1")
# Controls that do not affect the certificate: transactionId, senderNonce, dataReturn and regInfo
# (RFC 5272 section 6), and Microsoft's attributes about the client.
_IGNORED_CONTROLS = frozenset(
    {
        x509.ObjectIdentifier("1.3.6.1.5.5.7.7.4"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.7.5"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.7.6"),
        x509.ObjectIdentifier("1.3.6.1.5.5.7.7.18"),
        _MICROSOFT_ADD_ATTRIBUTES,
    }
)

# TaggedRequest (RFC 5272 section 3.2.1.2) by its tag.
_CERTIFICATION_REQUEST = b"\xa0"
_OTHER_REQUESTS = {b"\xa1": "a CRMF request", b"\xa2": "a request of a registered other kind"}


# Classes with a single field `value` are wrappers for unwrap().
@asn1.sequence
class _ContentInfo:
    type: x509.ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _EncapsulatedContentInfo:
    type: x509.ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class _Encapsulated:
    value: _EncapsulatedContentInfo


@asn1.sequence
class _PKIData:
    controls: list[asn1.TLV]
    requests: list[asn1.TLV]
    contents: list[asn1.TLV]
    others: list[asn1.TLV]


@asn1.sequence
class _Control:
    body_part: int
    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _WrappedControl:
    value: _Control


@asn1.sequence
class _CertificationRequest:
    body_part: int
    request: asn1.TLV


@asn1.sequence
class _TaggedRequest:
    value: Annotated[_CertificationRequest, asn1.Implicit(0)]


@asn1.sequence
class _AddAttributes:
    data: int
    certificates: list[int]
    attributes: asn1.SetOf[Attribute]


@asn1.sequence
class _WrappedAddAttributes:
    value: _AddAttributes


def is_content_info(der: bytes) -> bool:
    """True if it begins like a CMS message: with an OID, where a PKCS#10 has a SEQUENCE."""
    if len(der) < 2:
        return False
    first = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    return der[:1] == b"\x30" and der[first : first + 1] == b"\x06"


def extract_csr(der: bytes) -> bytes:
    """The PKCS#10 in a CMC full request, both in DER.

    Raises:
        UnreadableRequest: it does not contain exactly one PKCS#10 and nothing else.
    """
    with translate_parse_errors("CMC request"):
        data = asn1.decode_der(_PKIData, _pki_data(der))
        if data.contents:
            raise UnreadableRequest("the CMC request has another CMS message in it")
        if data.others:
            raise UnreadableRequest("the CMC request has a message of another kind in it")
        if len(data.requests) != 1:
            raise UnreadableRequest(
                f"the CMC request has {len(data.requests)} requests in it, and should have one"
            )
        for control in data.controls:
            _require_ignorable(unwrap(control, _WrappedControl).value)
        tagged = data.requests[0]
        if tagged.tag_bytes != _CERTIFICATION_REQUEST:
            kind = _OTHER_REQUESTS.get(tagged.tag_bytes, "something unknown")
            raise UnreadableRequest(f"the CMC request has {kind} in it, and not a PKCS#10")
        return asn1.encode_der(unwrap(tagged, _TaggedRequest).value.request)


def _pki_data(der: bytes) -> bytes:
    message = asn1.decode_der(_ContentInfo, der)
    if message.type != _SIGNED_DATA:
        raise UnreadableRequest(
            f"the CMS message is not SignedData but {message.type.dotted_string}"
        )
    # RFC 5652 5.1: version, digestAlgorithms, encapContentInfo, then fields about the signers.
    fields = unwrap(message.content, Sequence).value
    if len(fields) not in range(4, 6 + 1):
        raise UnreadableRequest("the CMS message is malformed")
    encapsulated = unwrap(fields[2], _Encapsulated).value
    if encapsulated.type != _PKI_DATA:
        raise UnreadableRequest(
            f"the CMS message does not contain a CMC request but {encapsulated.type.dotted_string}"
        )
    if encapsulated.content is None:
        raise UnreadableRequest("the CMS message does not include its contents")
    return encapsulated.content


def _require_ignorable(control: _Control) -> None:
    """Raise UnreadableRequest for a control that could affect the certificate."""
    if control.type not in _IGNORED_CONTROLS:
        raise UnreadableRequest(
            f"the CMC request has a control that is not supported: {control.type.dotted_string}"
        )
    if control.type != _MICROSOFT_ADD_ATTRIBUTES:
        return
    for value in control.values.as_list():
        for attribute in unwrap(value, _WrappedAddAttributes).value.attributes.as_list():
            if attribute.type in {EXTENSION_REQUEST, MICROSOFT_EXTENSION_REQUEST}:
                raise UnreadableRequest("the CMC request has extensions beside the PKCS#10")
