"""The names of subject attributes, as RFC 4519, X.520 and OpenSSL spell them."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

MAX_SHOWN = 64

# Messages use the first name of an attribute.
ATTRIBUTES = {
    "CN": NameOID.COMMON_NAME,
    "commonName": NameOID.COMMON_NAME,
    "C": NameOID.COUNTRY_NAME,
    "countryName": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "stateOrProvinceName": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "localityName": NameOID.LOCALITY_NAME,
    "street": NameOID.STREET_ADDRESS,
    "streetAddress": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "postalAddress": NameOID.POSTAL_ADDRESS,
    "O": NameOID.ORGANIZATION_NAME,
    "organizationName": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "jurisdictionC": NameOID.JURISDICTION_COUNTRY_NAME,
    "jurisdictionCountryName": NameOID.JURISDICTION_COUNTRY_NAME,
    "jurisdictionST": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
    "jurisdictionStateOrProvinceName": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
    "jurisdictionL": NameOID.JURISDICTION_LOCALITY_NAME,
    "jurisdictionLocalityName": NameOID.JURISDICTION_LOCALITY_NAME,
    "DC": NameOID.DOMAIN_COMPONENT,
    "domainComponent": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "userId": NameOID.USER_ID,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "E": NameOID.EMAIL_ADDRESS,
    "email": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "title": NameOID.TITLE,
    "T": NameOID.TITLE,
    "givenName": NameOID.GIVEN_NAME,
    "GN": NameOID.GIVEN_NAME,
    "G": NameOID.GIVEN_NAME,
    "surname": NameOID.SURNAME,
    "SN": NameOID.SURNAME,
    "initials": NameOID.INITIALS,
    "generationQualifier": NameOID.GENERATION_QUALIFIER,
    "pseudonym": NameOID.PSEUDONYM,
    "dnQualifier": NameOID.DN_QUALIFIER,
    "name": x509.ObjectIdentifier("2.5.4.41"),
    "description": x509.ObjectIdentifier("2.5.4.13"),
    "telephoneNumber": x509.ObjectIdentifier("2.5.4.20"),
    "x500UniqueIdentifier": NameOID.X500_UNIQUE_IDENTIFIER,
    "unstructuredName": NameOID.UNSTRUCTURED_NAME,
    "unstructuredAddress": x509.ObjectIdentifier("1.2.840.113549.1.9.8"),
}

_BY_NAME = {name.lower(): oid for name, oid in ATTRIBUTES.items()}
_BY_OID = {oid: name for name, oid in reversed(ATTRIBUTES.items())}
_DOTTED = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)

NameAttribute = x509.NameAttribute[str | bytes]


def attribute_oid(text: str) -> x509.ObjectIdentifier:
    """The OID of an attribute that is given by name or as a dotted OID.

    Raises:
        ValueError: there is no such attribute.
    """
    if _DOTTED.fullmatch(text):
        try:
            return x509.ObjectIdentifier(text)
        except ValueError:
            raise ValueError(f"{text[:80]!a} is not an OID") from None
    # str.lower() turns U+212A (KELVIN SIGN) into the ASCII letter k.
    oid = _BY_NAME.get(text.lower()) if text.isascii() else None
    if oid is None:
        raise ValueError(f"{text[:80]!a} is neither a subject attribute's name nor a dotted OID")
    return oid


def name_of_attribute(oid: x509.ObjectIdentifier) -> str:
    """The short name of an attribute, or its dotted OID."""
    return _BY_OID.get(oid, oid.dotted_string)


def describe_attribute(attribute: NameAttribute) -> str:
    """An attribute in one printable line, such as ``O=Example``; long values are cut."""
    value = attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
    text = f"{name_of_attribute(attribute.oid)}={shown}"
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
