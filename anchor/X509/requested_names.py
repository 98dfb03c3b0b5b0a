"""The names in a request, each with its kind, in the form for comparison with lists of names."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from cryptography import x509

from anchor.X509 import pattern_parts
from anchor.X509.allowed_names import ADDRESS, MAILBOX, NAME, URI, LiteralName, parse_allowed_name
from anchor.X509.general_name_text import describe
from anchor.X509.general_names import describe_attribute, mail_attributes, user_principal_name
from anchor.X509.name_patterns import Address, canonical, parse_address, without_ipv4_mapping
from anchor.X509.signing_request import X509Csr


class NameKind(enum.IntEnum):
    """The kinds of names in a request; ``OTHER`` can be on no list."""

    COMMON_NAME = enum.auto()
    DNS = enum.auto()
    ADDRESS = enum.auto()
    URI = enum.auto()
    MAIL = enum.auto()
    PRINCIPAL = enum.auto()
    OTHER = enum.auto()


class RequestedName(NamedTuple):
    """A name in a request.

    Attributes:
        kind: the kind; a DNS name that is an address is of the kind ``OTHER``.
        text: the name; empty for the kinds ``ADDRESS`` and ``OTHER``.
        address: the address, also if it is a common name.
        source: the entry of subjectAltName; for an attribute of the subject, a line for messages.
    """

    kind: NameKind
    text: str
    address: Address | None
    source: x509.GeneralName | str

    @property
    def in_subject(self) -> bool:
        """True for an attribute of the subject."""
        return isinstance(self.source, str)

    def __str__(self) -> str:
        """The name in one line, for messages."""
        return self.source if isinstance(self.source, str) else describe(self.source)


def requested_names(csr: X509Csr) -> Iterator[RequestedName]:
    """The common names, the mail addresses of the subject, and every alternative name."""
    for text in csr.common_names:
        address = parse_address(text)
        yield RequestedName(NameKind.COMMON_NAME, text, address, f"CN:{text}")
    for attribute in mail_attributes(csr.subject_attributes):
        text = str(attribute.value)
        yield RequestedName(NameKind.MAIL, text, None, describe_attribute(attribute))
    for name in csr.alternative_names:
        yield _alternative_name(name)


def literal_name(name: RequestedName) -> LiteralName | None:
    """A requested name in the form of allowed names; None if no credential can allow it."""
    literal: LiteralName | None = None
    match name.kind:
        case NameKind.COMMON_NAME:
            with suppress(ValueError):
                literal = parse_allowed_name(name.text)
        case NameKind.DNS:
            literal = LiteralName(NAME, canonical(name.text))
        case NameKind.ADDRESS:
            literal = LiteralName(ADDRESS, str(name.address))
        case NameKind.URI if pattern_parts.uri(name.text) is not None:
            literal = LiteralName(URI, pattern_parts.canonical_uri(name.text))
        case NameKind.MAIL | NameKind.PRINCIPAL if pattern_parts.mailbox(name.text) is not None:
            literal = LiteralName(MAILBOX, pattern_parts.canonical_mailbox(name.text))
    return literal


def ip_address_of(name: x509.GeneralName) -> Address | None:
    """The address in an iPAddress; None for a range and for other kinds of names."""
    if isinstance(name, x509.IPAddress) and isinstance(name.value, IPv4Address | IPv6Address):
        return without_ipv4_mapping(name.value)
    return None


def _alternative_name(name: x509.GeneralName) -> RequestedName:
    kind, text, address = NameKind.OTHER, "", None
    match name:
        case x509.DNSName(value=value):
            if parse_address(value) is None:
                kind, text = NameKind.DNS, value
        case x509.UniformResourceIdentifier(value=value):
            kind, text = NameKind.URI, value
        case x509.RFC822Name(value=value):
            kind, text = NameKind.MAIL, value
        case x509.OtherName():
            principal = user_principal_name(name)
            if principal is not None:
                kind, text = NameKind.PRINCIPAL, principal
        case _:
            address = ip_address_of(name)
            if address is not None:
                kind = NameKind.ADDRESS
    return RequestedName(kind, text, address, name)
