"""Types for plug-in options: networks, names, extensions, usages.

Annotate a plug-in's parameters with them; the values are validated at start-up.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from cryptography.x509 import ObjectIdentifier
from pydantic import AfterValidator, GetCoreSchemaHandler, GetPydanticSchema, PlainValidator
from pydantic_core import CoreSchema, core_schema

from anchor.config.file_types import text
from anchor.X509.attribute_names import ATTRIBUTES, attribute_oid
from anchor.X509.attribute_patterns import AttributePatterns, ValuePattern
from anchor.X509.name_patterns import (
    DomainSet,
    NetworkSet,
    network_without_ipv4_mapping,
    parse_domain,
)
from anchor.X509.name_templates import NameTemplate, TemplateSet, parse_pattern
from anchor.X509.oids import (
    EXTENDED_USAGES,
    EXTENSIONS,
    USAGES,
    extended_usage_oid,
    extension_oid,
    usage_name,
)
from anchor.X509.pattern_set import PatternSet

__all__ = [
    "AttributeNames",
    "Attributes",
    "Domain",
    "Domains",
    "ExtendedUsage",
    "ExtendedUsages",
    "Extensions",
    "Moment",
    "Network",
    "Networks",
    "Pattern",
    "Patterns",
    "Template",
    "Templates",
    "Usage",
    "Usages",
    "compiled",
]


def compiled(json_type: Any, compile_: Callable[[Any], Any]) -> GetPydanticSchema:
    """An annotation for an option that is converted after its validation.

    Args:
        json_type: the type of the value in the configuration.
        compile_: converts the validated value to the annotated type; a ValueError becomes a
            problem of the option.
    """

    def schema(_annotated: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler.generate_schema(json_type)
        return core_schema.no_info_after_validator_function(compile_, inner)

    return GetPydanticSchema(schema)


def _network(value: Any) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("should be a network such as '10.0.0.0/8', '10.1.2.3' or '2001:db8::/32'")
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(str(error)) from None
    return network_without_ipv4_mapping(network)


Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network), text("network")]
"""An IPv4 or IPv6 range in CIDR form, without host bits, or a single address."""

Domain = Annotated[str, AfterValidator(parse_domain), text("domain", pattern=r"^\.")]
"""A domain with a leading dot, for all names below it; ``.`` is every name."""

Domains = Annotated[DomainSet, compiled(tuple[Domain, ...], DomainSet)]
"""Any number of domains."""

Networks = Annotated[NetworkSet, compiled(tuple[Network, ...], NetworkSet)]
"""Any number of networks."""

Pattern = Annotated[str, AfterValidator(parse_pattern), text("pattern", minLength=1)]
Patterns = Annotated[PatternSet, compiled(tuple[Pattern, ...], PatternSet)]
"""Any number of name patterns: names, names with ``%``, addresses and ranges."""

Template = Annotated[str, AfterValidator(NameTemplate.parse), text("pattern", minLength=1)]
Templates = Annotated[TemplateSet, compiled(tuple[Template, ...], TemplateSet)]
"""Any number of name patterns, which may have placeholders such as ``{username}``."""

_AttributeOid = Annotated[
    str, AfterValidator(attribute_oid), text("subject attribute", examples=list(ATTRIBUTES))
]
AttributeNames = Annotated[
    frozenset[ObjectIdentifier], compiled(tuple[_AttributeOid, ...], frozenset)
]
"""Any number of subject attributes, by their names or as dotted OIDs."""

_ValuePattern = Annotated[
    str, AfterValidator(ValuePattern.parse), text("value pattern", minLength=1)
]
Attributes = Annotated[
    AttributePatterns, compiled(dict[str, tuple[_ValuePattern, ...]], AttributePatterns.parse)
]
"""Patterns for the values of subject attributes, by the attribute's name or dotted OID."""

_ExtensionOid = Annotated[
    str, AfterValidator(extension_oid), text("extension", examples=list(EXTENSIONS))
]
Extensions = Annotated[frozenset[ObjectIdentifier], compiled(tuple[_ExtensionOid, ...], frozenset)]
"""Any number of extensions, by their RFC 5280 or OpenSSL names, or as dotted OIDs."""

Usage = Annotated[str, AfterValidator(usage_name), text("key usage", examples=list(USAGES))]
"""A key usage, by its long or short name; the value is its RFC 5280 name."""

Usages = Annotated[frozenset[str], compiled(tuple[Usage, ...], frozenset)]
"""Any number of key usages."""

ExtendedUsage = Annotated[
    str,
    AfterValidator(extended_usage_oid),
    text("extended key usage", examples=list(EXTENDED_USAGES)),
]
"""An extended key usage, by its OpenSSL name or dotted OID; the value is the dotted OID."""

ExtendedUsages = Annotated[
    frozenset[ObjectIdentifier], compiled(tuple[ExtendedUsage, ...], frozenset)
]
"""Any number of extended key usages."""


def _moment(value: Any) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("should be a time with its zone such as '2030-01-31T12:00:00Z'")
    return moment.astimezone(datetime.UTC)


Moment = Annotated[datetime.datetime, PlainValidator(_moment), text("date-time")]
"""A time with its zone, as in RFC 3339; the value is in UTC."""
