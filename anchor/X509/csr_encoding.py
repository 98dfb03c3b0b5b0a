"""Strict DER of a certificate signing request, before ``cryptography`` parses it.

Checks and certificate must see the same contents.  So everything that a certificate repeats must be
DER within the bounds of RFC 5280; only the text of names may have any string type.  In the rest of
the request, the deviations of common tools are accepted.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import AttributeOID, ExtensionOID

from anchor.errors import UnreadableRequest
from anchor.X509 import der, name_strings
from anchor.X509.attribute_names import name_of_attribute
from anchor.X509.oids import name_of_extension

# RFC 2985 5.4.2: the attribute for extensions.
EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
# Microsoft's attribute for extensions.  It is rejected: two lists of extensions could disagree.
MICROSOFT_EXTENSION_REQUEST = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")

# More than real requests have, and few enough for every check to look at each.
MAX_NAMES = 1000
MAX_ATTRIBUTES = 64
MAX_EXTENSIONS = 64
MAX_PURPOSES = 64

# GeneralName (RFC 5280 section 4.2.1.6) by its tag.
_IA5_NAMES = {b"\x81": "rfc822Name", b"\x82": "dNSName", b"\x86": "uniformResourceIdentifier"}
_DIRECTORY_NAME, _IP_ADDRESS = b"\xa4", b"\x87"

_ATTRIBUTES = 0xA0
_ATTRIBUTE_NAMES = {
    EXTENSION_REQUEST: "extensionRequest",
    AttributeOID.CHALLENGE_PASSWORD: "challengePassword",
    AttributeOID.UNSTRUCTURED_NAME: "unstructuredName",
}

_EMPTY_BITS = b"\x03\x01\x00"
# RFC 2986 4.1: the version is 0.  Old certbot, GitLab and Salt write 2, as in a certificate.
_VERSIONS = {b"\x02\x01\x02": b"\x02\x01\x00"}


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

    version: asn1.TLV
    subject: list[asn1.TLV]
    public_key: asn1.TLV
    # A SET OF: some tools do not sort it, and some omit an empty one.
    attributes: Annotated[list[Attribute] | None, asn1.Implicit(0)]


@asn1.sequence
class _Request:
    info: asn1.TLV
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    # Some tools encode the default value, which DER does not allow.
    critical: bool | None
    value: bytes


# Each class below wraps one value for unwrap().
@asn1.sequence
class _Any:
    value: asn1.TLV


@asn1.sequence
class _ExplicitName:
    value: Annotated[list[asn1.TLV], asn1.Explicit(4)]


@asn1.sequence
class _Rdn:
    """A SET OF attributes, which some tools do not sort."""

    value: list[_NameAttribute]


@asn1.sequence
class _Extensions:
    value: list[_Extension]


@asn1.sequence
class Sequence:
    """A SEQUENCE of anything."""

    value: list[asn1.TLV]


Kind = TypeVar("Kind")


class ParsedCsr(NamedTuple):
    """A request in strict DER, and the parts that a certificate repeats byte for byte.

    Attributes:
        signed: the submitted CertificationRequestInfo, which the signature covers.
        canonical: the same request in DER, with names in the string types of RFC 5280.
        public_key: the SubjectPublicKeyInfo.
        key_usage: the contents of the extension keyUsage, or None.
        attributes: the types of the attributes.
    """

    signed: bytes
    canonical: bytes
    public_key: bytes
    key_usage: bytes | None
    attributes: frozenset[x509.ObjectIdentifier]


def parse(submitted: bytes) -> ParsedCsr:
    """Parse a DER-encoded request and encode it again in strict DER.

    Raises:
        UnreadableRequest: a part is repeated, out of bounds, or of an unsupported kind.
        ValueError: it is not a PKCS#10, or a part that a certificate repeats is not in DER.
    """
    request = asn1.decode_der(_Request, submitted)
    if request.signature.padding_bits():
        raise UnreadableRequest("the signature is not a whole number of bytes")
    info = request.info.parse(_Info)
    subject = _name(info.subject, "the subject")
    attributes, key_usage = _attributes(info.attributes or [])
    public_key = asn1.encode_der(info.public_key)
    version = asn1.encode_der(info.version)
    canonical = der.value(
        der.SEQUENCE,
        der.value(der.SEQUENCE, _VERSIONS.get(version, version), subject, public_key, attributes),
        asn1.encode_der(request.algorithm),
        asn1.encode_der(request.signature),
    )
    return ParsedCsr(
        signed=asn1.encode_der(request.info),
        canonical=canonical,
        public_key=public_key,
        key_usage=key_usage,
        attributes=frozenset(attribute.type for attribute in info.attributes or ()),
    )


def _attributes(attributes: list[Attribute]) -> tuple[bytes, bytes | None]:
    """The attributes in DER, and the contents of the extension keyUsage, if present."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise UnreadableRequest(f"the request has more than {MAX_ATTRIBUTES} attributes")
    encoded: dict[x509.ObjectIdentifier, bytes] = {}
    key_usage: bytes | None = None
    for attribute in attributes:
        if attribute.type == MICROSOFT_EXTENSION_REQUEST:
            raise UnreadableRequest("Microsoft's extensionRequest attribute is not supported")
        if attribute.type in encoded:
            name = _ATTRIBUTE_NAMES.get(attribute.type, attribute.type.dotted_string)
            raise UnreadableRequest(f"the request has an attribute twice: {name}")
        if attribute.type == EXTENSION_REQUEST:
            encoded[attribute.type], key_usage = _extension_request(attribute.values.as_list())
        else:
            encoded[attribute.type] = asn1.encode_der(attribute)
    return der.value(_ATTRIBUTES, *sorted(encoded.values())), key_usage


def _extension_request(values: list[asn1.TLV]) -> tuple[bytes, bytes | None]:
    """The attribute in DER, and the contents of the extension keyUsage, if present."""
    if len(values) != 1:
        raise UnreadableRequest("the extensionRequest attribute does not have exactly one value")
    extensions = unwrap(values[0], _Extensions).value
    if len(extensions) > MAX_EXTENSIONS:
        raise UnreadableRequest(f"the request has more than {MAX_EXTENSIONS} extensions")
    contents: dict[x509.ObjectIdentifier, bytes] = {}
    encoded: list[bytes] = []
    for extension in extensions:
        if extension.oid in contents:
            name = name_of_extension(extension.oid)
            raise UnreadableRequest(f"the request has the extension {name} twice")
        contents[extension.oid] = extension.value
        encoded.append(_extension(extension))
    key_usage = contents.get(ExtensionOID.KEY_USAGE)
    if key_usage == _EMPTY_BITS:
        # RFC 5280 4.2.1.3: at least one bit is set.
        raise UnreadableRequest("keyUsage is empty")
    value = der.value(der.SET, der.value(der.SEQUENCE, *encoded))
    attribute = der.value(der.SEQUENCE, asn1.encode_der(EXTENSION_REQUEST), value)
    return attribute, key_usage


def _extension(extension: _Extension) -> bytes:
    value = extension.value
    if extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME:
        value = _alternative_names(value)
    elif extension.oid == ExtensionOID.EXTENDED_KEY_USAGE:
        _check_purposes(value)
    return der.value(
        der.SEQUENCE,
        asn1.encode_der(extension.oid),
        der.TRUE if extension.critical else b"",
        der.value(der.OCTET_STRING, value),
    )


def _alternative_names(contents: bytes) -> bytes:
    names = _unwrap_der(contents, Sequence).value
    if not names:
        raise UnreadableRequest("subjectAltName is empty")
    if len(names) > MAX_NAMES:
        raise UnreadableRequest(f"the request has more than {MAX_NAMES} alternative names")
    return der.value(der.SEQUENCE, *map(_alternative_name, names))


def _alternative_name(name: asn1.TLV) -> bytes:
    if name.tag_bytes == _DIRECTORY_NAME:
        rdns = unwrap(name, _ExplicitName).value
        return der.value(_DIRECTORY_NAME[0], _name(rdns, "a directoryName"))
    if name.tag_bytes in _IA5_NAMES and not bytes(name.data).isascii():
        raise UnreadableRequest(
            f"subjectAltName has a {_IA5_NAMES[name.tag_bytes]} that is not ASCII"
        )
    if name.tag_bytes == _IP_ADDRESS and len(name.data) not in {4, 16}:
        # 8 and 32 bytes are address ranges, which only name constraints have.
        raise UnreadableRequest(
            f"subjectAltName has an iPAddress of {len(name.data)} bytes, not 4 or 16"
        )
    return asn1.encode_der(name)


def _check_purposes(contents: bytes) -> None:
    purposes = _unwrap_der(contents, Sequence).value
    if len(purposes) > MAX_PURPOSES:
        raise UnreadableRequest(f"the request has more than {MAX_PURPOSES} extended key usages")


def _name(name: list[asn1.TLV], what: str) -> bytes:
    """A name in DER, in the string types of RFC 5280 section 4.1.2.4."""
    rdns = [_attributes_of(rdn) for rdn in name]
    if sum(map(len, rdns)) > MAX_ATTRIBUTES:
        raise UnreadableRequest(f"{what} has more than {MAX_ATTRIBUTES} parts")
    return der.value(der.SEQUENCE, *(_rdn(attributes, what) for attributes in rdns))


def _attributes_of(rdn: asn1.TLV) -> list[_NameAttribute]:
    """The attributes of an RDN, in encoded order."""
    if rdn.tag_bytes != bytes([der.SET]):
        raise UnreadableRequest("a relative distinguished name is not a SET")
    return _unwrap_der(der.value(der.SEQUENCE, bytes(rdn.data)), _Rdn).value


def _rdn(attributes: list[_NameAttribute], what: str) -> bytes:
    texts: set[tuple[x509.ObjectIdentifier, str]] = set()
    encoded: list[bytes] = []
    for attribute in attributes:
        oid, value = attribute.type, attribute.value
        string = name_strings.read(oid, value.tag_bytes[0], bytes(value.data), what)
        if (oid, string.text) in texts:
            # X.501 9.3: an RDN is a set; two string types of one text are the same value.
            raise UnreadableRequest(
                f"{name_of_attribute(oid)} in {what} has the same value twice in one RDN"
            )
        texts.add((oid, string.text))
        encoded.append(
            der.value(der.SEQUENCE, asn1.encode_der(oid), der.value(string.tag, string.contents()))
        )
    return der.value(der.SET, *sorted(encoded))


def unwrap(value: asn1.TLV, kind: type[Kind]) -> Kind:
    """Decode a value as the single field of the class ``kind``.

    The library decodes into classes only, so a list needs a class around it.
    """
    return asn1.decode_der(kind, asn1.encode_der(_Any(value=value)))


def _unwrap_der(encoded: bytes, kind: type[Kind]) -> Kind:
    """Decode a value in DER as the single field of the class ``kind``."""
    return asn1.decode_der(kind, der.value(der.SEQUENCE, encoded))
