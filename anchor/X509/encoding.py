"""What the DER of a request says, before a library has made names and keys of it.

A certificate may never say something else than what was judged.  So whatever is carried over from
a request has to be written in it as the certificate will write it, and within the bounds that
RFC 5280 sets; anything else is refused here, where the octets are still at hand.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import ExtensionOID, NameOID

from anchor.errors import UnreadableRequest
from anchor.X509 import der

# RFC 2985 5.4.2, where extensions belong.
EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
# Windows' own way to carry extensions; another copy of them is another chance to disagree.
MICROSOFT_EXTENSION_REQUEST = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")

# More than any machine has use for, and few enough for every check to look at each of them.
MAX_NAMES = 1000
MAX_ATTRIBUTES = 64
MAX_EXTENSIONS = 64
MAX_PURPOSES = 64

_UTF8_STRING, _PRINTABLE_STRING, _IA5_STRING = b"\x0c", b"\x13", b"\x16"
# GeneralName (RFC 5280 section 4.2.1.6) by its tag.
_IA5_NAMES = {b"\x81": "rfc822Name", b"\x82": "dNSName", b"\x86": "uniformResourceIdentifier"}
_DIRECTORY_NAME, _IP_ADDRESS = b"\xa4", b"\x87"

_EMPTY_BITS = b"\x03\x01\x00"

# RFC 5280 appendix A.1, where the number is not a matter of taste: browsers and libraries refuse
# certificates with other country codes, and libraries warn of longer common names.
_LENGTHS = {
    NameOID.COMMON_NAME: range(1, 64 + 1),
    NameOID.COUNTRY_NAME: range(2, 2 + 1),
    NameOID.JURISDICTION_COUNTRY_NAME: range(2, 2 + 1),
}


@asn1.sequence
class _NameAttribute:
    type: x509.ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class Attribute:
    """An attribute of a request (RFC 2986 section 4.1)."""

    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Info:
    """CertificationRequestInfo (RFC 2986 section 4.1)."""

    version: int
    subject: list[asn1.SetOf[_NameAttribute]]
    public_key: asn1.TLV
    attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]


@asn1.sequence
class _Request:
    info: _Info
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


# Each of these wraps one value, see unwrap().
@asn1.sequence
class _Any:
    value: asn1.TLV


@asn1.sequence
class _ExplicitName:
    value: Annotated[list[asn1.SetOf[_NameAttribute]], asn1.Explicit(4)]


@asn1.sequence
class _Extensions:
    value: list[_Extension]


@asn1.sequence
class Sequence:
    """A SEQUENCE of anything."""

    value: list[asn1.TLV]


Kind = TypeVar("Kind")


class Parts(NamedTuple):
    """Octets of a request whose encoding is not settled by DER alone.

    Attributes:
        public_key: the SubjectPublicKeyInfo.
        key_usage: the contents of the extension keyUsage, if there is one.
    """

    public_key: bytes
    key_usage: bytes | None


def parts(der: bytes) -> Parts:
    """Return if what a certificate would take over from a request is sound in its form.

    Raises:
        UnreadableRequest: something in it is doubled, out of bounds, or of a kind that no
            certificate should have.
        ValueError: it is not in DER, or not a PKCS#10 at all.
    """
    request = asn1.decode_der(_Request, der)
    if request.signature.padding_bits():
        raise UnreadableRequest("its signature is not a whole number of octets")
    info = request.info
    attributes = info.attributes.as_list()
    if len(attributes) > MAX_ATTRIBUTES:
        raise UnreadableRequest(f"it has more than {MAX_ATTRIBUTES} attributes")
    by_kind = {attribute.type: attribute for attribute in attributes}
    if len(by_kind) != len(attributes):
        raise UnreadableRequest("an attribute is in it twice")
    if MICROSOFT_EXTENSION_REQUEST in by_kind:
        raise UnreadableRequest("Microsoft's extensionRequest attribute is not supported")
    _prove_name(info.subject, "the subject")
    extensions = by_kind.get(EXTENSION_REQUEST)
    key_usage = _prove_extensions(extensions.values.as_list()) if extensions else None
    return Parts(asn1.encode_der(info.public_key), key_usage)


def _prove_extensions(values: list[asn1.TLV]) -> bytes | None:
    """The contents of keyUsage, if it is among the extensions."""
    if len(values) != 1:
        raise UnreadableRequest("its extensionRequest attribute does not have one value")
    extensions = unwrap(values[0], _Extensions).value
    if len(extensions) > MAX_EXTENSIONS:
        raise UnreadableRequest(f"it has more than {MAX_EXTENSIONS} extensions")
    contents: dict[x509.ObjectIdentifier, bytes] = {}
    for extension in extensions:
        if extension.oid in contents:
            raise UnreadableRequest(f"the extension {extension.oid.dotted_string} is in it twice")
        contents[extension.oid] = extension.value
    if (names := contents.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)) is not None:
        _prove_alternative_names(names)
    if (purposes := contents.get(ExtensionOID.EXTENDED_KEY_USAGE)) is not None:
        _prove_purposes(purposes)
    key_usage = contents.get(ExtensionOID.KEY_USAGE)
    if key_usage == _EMPTY_BITS:
        # RFC 5280 4.2.1.3
        raise UnreadableRequest("keyUsage is empty")
    return key_usage


def _prove_alternative_names(contents: bytes) -> None:
    names = _unwrap_der(contents, Sequence).value
    if not names:
        raise UnreadableRequest("subjectAltName is empty")
    if len(names) > MAX_NAMES:
        raise UnreadableRequest(f"it has more than {MAX_NAMES} alternative names")
    for name in names:
        if name.tag_bytes == _DIRECTORY_NAME:
            _prove_name(unwrap(name, _ExplicitName).value, "a directoryName")
        elif name.tag_bytes in _IA5_NAMES and not bytes(name.data).isascii():
            raise UnreadableRequest(
                f"subjectAltName has a {_IA5_NAMES[name.tag_bytes]} that is not ASCII"
            )
        elif name.tag_bytes == _IP_ADDRESS and len(name.data) not in {4, 16}:
            # Eight and thirty-two octets are ranges, which are for name constraints.
            raise UnreadableRequest(
                f"subjectAltName has an iPAddress of {len(name.data)} octets, not 4 or 16"
            )


def _prove_purposes(contents: bytes) -> None:
    purposes = _unwrap_der(contents, Sequence).value
    if len(purposes) > MAX_PURPOSES:
        raise UnreadableRequest(f"it has more than {MAX_PURPOSES} extended key usages")


def _prove_name(name: list[asn1.SetOf[_NameAttribute]], what: str) -> None:
    """RFC 5280 section 4.1.2.4, without the string types that it keeps for old certificates.

    TeletexString means something else to everyone, and BMPString and UniversalString are not
    compared with the same text in UTF-8 by all clients.
    """
    if len(name) > MAX_ATTRIBUTES:
        raise UnreadableRequest(f"{what} has more than {MAX_ATTRIBUTES} parts")
    for part in name:
        attributes = part.as_list()
        if len({attribute.type for attribute in attributes}) != len(attributes):
            # X.501 9.3
            raise UnreadableRequest(f"{what} has a part with two values of one kind")
        for attribute in attributes:
            _prove_name_attribute(attribute, what)


def _prove_name_attribute(attribute: _NameAttribute, what: str) -> None:
    dotted = attribute.type.dotted_string
    tag, octets = attribute.value.tag_bytes, bytes(attribute.value.data)
    if tag not in (_UTF8_STRING, _PRINTABLE_STRING, _IA5_STRING) or (
        tag == _IA5_STRING and not octets.isascii()
    ):
        raise UnreadableRequest(
            f"{what} has an attribute, {dotted}, that is neither UTF8String nor PrintableString "
            "nor IA5String"
        )
    lengths = _LENGTHS.get(attribute.type)
    if lengths is not None and len(octets) not in lengths:
        wanted = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else str(lengths[0])
        raise UnreadableRequest(f"{what} has an attribute, {dotted}, that is not {wanted} long")


def unwrap(value: asn1.TLV, kind: type[Kind]) -> Kind:
    """The value as the one field of ``kind``; the library decodes classes, and lists are none."""
    return asn1.decode_der(kind, asn1.encode_der(_Any(value=value)))


def _unwrap_der(octets: bytes, kind: type[Kind]) -> Kind:
    """The same for a value that is at hand in DER."""
    return asn1.decode_der(kind, der.value(der.SEQUENCE, octets))


def text_in(der: bytes) -> str | None:
    """The text that some DER consists of, or None when it is something else."""
    value = asn1.decode_der(asn1.TLV, der)
    codec = _CODECS.get(value.tag_bytes)
    return codec and bytes(value.data).decode(codec, "replace")


# UTF8String, PrintableString, TeletexString, IA5String, VisibleString, BMPString.
_CODECS = {
    b"\x0c": "utf-8",
    b"\x13": "ascii",
    b"\x14": "latin-1",
    b"\x16": "ascii",
    b"\x1a": "ascii",
    b"\x1e": "utf-16-be",
}
