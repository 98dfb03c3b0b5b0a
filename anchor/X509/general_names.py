"""The hosts, addresses and mailboxes that a request or a certificate names.

Validators, bans and ``anchor certs`` all use this module, so a name means the same to each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, NamedTuple

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import NameOID

from anchor.X509.general_name_text import describe
from anchor.X509.name_texts import Meaning, NameReader

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_KERBEROS = x509.ObjectIdentifier("1.3.6.1.5.2.2")  # RFC 4556 3.2.2
_XMPP = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120 13.7.1.4
_SRV = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985
_NAI_REALM = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.8")  # RFC 7585
_SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598

# More than any directory has.  Each common name is combined with the domain to a host.
MAX_COMMON_NAMES = 4
MAX_COMPONENTS = 16

_UTF8_STRING, _IA5_STRING, _GENERAL_STRING = b"\x0c", b"\x16", b"\x1b"

MAIL = frozenset(
    {NameOID.EMAIL_ADDRESS, x509.ObjectIdentifier("0.9.2342.19200300.100.1.3")}  # RFC 4524: mail
)
# Attributes whose values some programs read as hosts or principals.
_FREE_TEXT = frozenset(
    {
        NameOID.COMMON_NAME,
        NameOID.USER_ID,
        NameOID.UNSTRUCTURED_NAME,
        x509.ObjectIdentifier("1.2.840.113549.1.9.8"),  # RFC 2985: unstructuredAddress
        x509.ObjectIdentifier("0.9.2342.19200300.100.1.9"),  # RFC 4524: host
        x509.ObjectIdentifier("0.9.2342.19200300.100.1.37"),  # RFC 4524: associatedDomain
        UPN,
    }
)

Attribute = x509.NameAttribute[str | bytes]


class InterpretedName(NamedTuple):
    """A name and its meaning.

    Attributes:
        name: an entry of subjectAltName, or an attribute of the subject; for a domain, its first
            domainComponent.
        meaning: the hosts, addresses, mailboxes and URIs that it names.
    """

    name: x509.GeneralName | Attribute
    meaning: Meaning

    def __str__(self) -> str:
        """The name in one line, for messages."""
        if isinstance(self.name, x509.NameAttribute):
            return describe_attribute(self.name)
        return describe(self.name)


def describe_attribute(attribute: Attribute) -> str:
    """A line for a subject attribute, such as ``CN:www.example.com``."""
    kind = "email" if attribute.oid in MAIL else attribute.rfc4514_attribute_name
    return f"{kind}:{attribute.value!s}"


def mail_attributes(subject: Iterable[Attribute]) -> list[Attribute]:
    """The attributes of a subject that are mail addresses."""
    return [attribute for attribute in subject if attribute.oid in MAIL]


def mail_addresses(subject: Iterable[Attribute]) -> Iterator[str]:
    """The mail addresses in a subject, such as ``email:alice@example.com``."""
    return map(describe_attribute, mail_attributes(subject))


def interpret_names(
    subject: Iterable[Attribute], alternative_names: Iterable[x509.GeneralName]
) -> list[InterpretedName]:
    """Each name in a subject and a subjectAltName with its meaning, even an empty one."""
    reader = NameReader()
    names = _interpret_subject(reader, subject)
    for name in alternative_names:
        meaning = reader.start()
        _read(reader, name)
        names.append(InterpretedName(name, meaning))
    return names


def user_principal_name(name: x509.GeneralName) -> str | None:
    """The userPrincipalName in an otherName; None for another kind or if malformed."""
    if not isinstance(name, x509.OtherName) or name.type_id != UPN:
        return None
    text = _string(name.value, _UTF8_STRING)
    # [MS-ADA3] 2.349: a prefix, an @ and a suffix.
    return text if text is not None and "@" in text.strip("@") else None


def _interpret_subject(
    reader: NameReader, attributes: Iterable[Attribute]
) -> list[InterpretedName]:
    names: list[InterpretedName] = []
    components, common_names = [], []
    for attribute in attributes:
        oid = attribute.oid
        if oid == NameOID.DOMAIN_COMPONENT:
            components.append(attribute)
        elif oid in MAIL or oid in _FREE_TEXT:
            meaning = reader.start()
            reader.text(str(attribute.value), of_mailboxes=oid in MAIL)
            if oid == NameOID.COMMON_NAME:
                common_names.append(str(attribute.value))
            names.append(InterpretedName(attribute, meaning))
    if components:
        meaning = reader.start()
        _read_domain(reader, [str(component.value) for component in components], common_names)
        names.append(InterpretedName(components[0], meaning))
    return names


def _read_domain(reader: NameReader, components: list[str], common_names: list[str]) -> None:
    """Read DC=com, DC=example (RFC 2247) in either order, and CN=www as a host below it."""
    if len(common_names) > MAX_COMMON_NAMES or len(components) > MAX_COMPONENTS:
        reader.give_up()
        return
    for parts in (components[::-1], components):
        domain = ".".join(parts)
        reader.text(domain)
        for name in common_names:
            if " " not in name:
                reader.text(f"{name}.{domain}")


def _read(reader: NameReader, name: x509.GeneralName) -> None:
    match name:
        case x509.DNSName(value=text):
            reader.text(text)
        case x509.IPAddress(value=IPv4Address() | IPv6Address() as address):
            reader.address(address)
        case x509.RFC822Name(value=text):
            reader.text(text, of_mailboxes=True)
        case x509.UniformResourceIdentifier(value=text):
            reader.uri(text)
        case x509.DirectoryName(value=directory_name):
            _read_directory_name(reader, directory_name)
        case x509.OtherName():
            _read_other_name(reader, name)
        case _:
            reader.give_up()


def _read_directory_name(reader: NameReader, name: x509.Name) -> None:
    components, common_names = [], []
    for attribute in name:
        kind, value = attribute.oid, str(attribute.value)
        if kind == NameOID.DOMAIN_COMPONENT:
            components.append(value)
        elif kind in MAIL or kind in _FREE_TEXT:
            reader.text(value, of_mailboxes=kind in MAIL)
            if kind == NameOID.COMMON_NAME:
                common_names.append(value)
    if components:
        _read_domain(reader, components, common_names)


def _read_other_name(reader: NameReader, name: x509.OtherName) -> None:
    if name.type_id == _KERBEROS:
        texts = _kerberos_texts(name.value)
    elif name.type_id == UPN:
        text = user_principal_name(name)
        texts = None if text is None else [text]
    else:
        text = _string(name.value, _IA5_STRING if name.type_id == _SRV else _UTF8_STRING)
        texts = None if text is None or name.type_id not in _STRING_NAMES else [text]
    if texts is None:
        reader.give_up()
        return
    for text in texts:
        reader.text(text, of_mailboxes=name.type_id == _SMTP_UTF8)
        if name.type_id == _SRV:
            labels = text.split(".", maxsplit=4)
            while len(labels) > 1 and labels[0].startswith("_"):
                del labels[0]
            reader.text(".".join(labels))


# otherNames that consist of one string.
_STRING_NAMES = frozenset({_XMPP, _SRV, _NAI_REALM, _SMTP_UTF8})


def _string(der: bytes, tag: bytes) -> str | None:
    """The text of a DER string with this tag; None for any other value."""
    try:
        value = asn1.decode_der(asn1.TLV, der)
        return bytes(value.data).decode() if value.tag_bytes == tag else None
    except ValueError:
        return None


@asn1.sequence
class _PrincipalName:
    """PrincipalName (RFC 4120 section 5.2.2)."""

    name_type: Annotated[int, asn1.Explicit(0)]
    name_string: Annotated[list[asn1.TLV], asn1.Explicit(1)]


@asn1.sequence
class _Krb5PrincipalName:
    """KRB5PrincipalName (RFC 4556 section 3.2.2)."""

    realm: Annotated[asn1.TLV, asn1.Explicit(0)]
    principal_name: Annotated[_PrincipalName, asn1.Explicit(1)]


def _kerberos_texts(der: bytes) -> list[str] | None:
    """The realm and the components of a Kerberos principal; None if it is malformed."""
    try:
        principal = asn1.decode_der(_Krb5PrincipalName, der)
        values = [principal.realm, *principal.principal_name.name_string]
        if any(value.tag_bytes != _GENERAL_STRING for value in values):
            return None
        return [bytes(value.data).decode() for value in values]
    except ValueError:
        return None
