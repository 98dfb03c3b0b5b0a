"""Types for plug-in options: paths, secrets, networks, names, usages.

Annotate a plug-in's parameters with them; the values are validated at start-up.  Offline validation
reads no secrets, because the configuration may be checked on a machine that does not have them.
"""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from cryptography.x509 import ObjectIdentifier
from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from anchor.errors import ConfigurationError
from anchor.X509.attribute_names import ATTRIBUTES, attribute_oid
from anchor.X509.attribute_patterns import AttributePatterns, ValuePattern
from anchor.X509.name_patterns import (
    DomainSet,
    NamePattern,
    NetworkSet,
    PatternSet,
    network_without_ipv4_mapping,
    parse_domain,
)
from anchor.X509.oids import (
    EXTENDED_USAGES,
    EXTENSIONS,
    USAGES,
    extended_usage_oid,
    extension_oid,
    usage_name,
)

__all__ = [
    "AttributeNames",
    "Attributes",
    "Domain",
    "Domains",
    "ExtendedUsage",
    "ExtendedUsages",
    "Extensions",
    "FilePath",
    "Moment",
    "Network",
    "Networks",
    "Pattern",
    "Patterns",
    "Private",
    "PrivateFile",
    "Secret",
    "SecretEnv",
    "SecretFile",
    "Usage",
    "Usages",
    "compiled",
    "one_secret",
    "read_private",
    "read_secret",
    "text",
]


def resolve(path: Path, info: ValidationInfo) -> Path:
    """The path, with ``~`` expanded and relative to the directory of ``config.json``."""
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


FilePath = Annotated[Path, AfterValidator(resolve)]
"""A path, relative to the directory of ``config.json``; ``~`` is the home directory."""


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


def text(format_: str, **keywords: Any) -> WithJsonSchema:
    """The JSON Schema of a string option.

    Args:
        format_: the kind of string; the reference shows it as the option's type.
        keywords: further keywords of JSON Schema.
    """
    return WithJsonSchema({"type": "string", "format": format_, **keywords})


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

Pattern = Annotated[str, AfterValidator(NamePattern.parse), text("pattern", minLength=1)]
Patterns = Annotated[PatternSet, compiled(tuple[Pattern, ...], PatternSet)]
"""Any number of name patterns: names, names with ``%``, addresses and ranges."""

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

Secret = SecretStr
"""A secret; only ``get_secret_value()`` reveals it."""


def read_private(path: Path) -> bytes:
    """The contents of a file that only its owner and its group can read.

    Raises:
        ValueError: the file cannot be read, or others can read it, or its group can write it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # The group may read it, so that a service can use a file that root owns.
            if mode & 0o027:
                raise ValueError(
                    f"{path} has mode {mode:04o}: others must not read it, nor the group write it"
                )
            return file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Private:
    """The path and the contents of a file that others cannot read."""

    path: Path
    contents: bytes = field(repr=False)


def _private(path: Path) -> Private:
    return Private(path, read_private(path))


def read_secret(path: Path) -> Secret:
    """The secret in a private file, without the line break at its end.

    Raises:
        ValueError: as :func:`read_private`, or the file is not UTF-8 text.
    """
    try:
        return Secret(read_private(path).decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def _secret_in_environment(name: Any, info: ValidationInfo) -> Secret:
    if isinstance(name, str) and _is_offline(info):
        return Secret("")
    if not isinstance(name, str) or name not in os.environ:
        raise ValueError(f"the environment variable {name!r} is not set")
    return Secret(os.environ[name])


def _is_offline(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("offline"))


def _file_contents(read: Callable[[Path], Any], placeholder: Callable[[Path], Any]) -> Any:
    """A validator that replaces a path by the file's contents, or offline by a placeholder."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            raise ValueError("should be a path")
        path = resolve(Path(value), info)
        return placeholder(path) if _is_offline(info) else read(path)

    return PlainValidator(validate)


PrivateFile = Annotated[
    Private, _file_contents(_private, lambda path: Private(path, b"")), text("path")
]
"""The path of a file that others cannot read; it is read at start-up."""

SecretFile = Annotated[Secret, _file_contents(read_secret, lambda _: Secret("")), text("path")]
"""The path of a file with a secret; a line break at its end is removed."""

SecretEnv = Annotated[Secret, PlainValidator(_secret_in_environment), text("environment variable")]
"""The name of an environment variable that contains a secret."""


def one_secret(what: str, *sources: Secret | None) -> str:
    """The secret from the only source that is configured: JSON, file or environment.

    Args:
        what: the option's name; the other two options are ``<what>_file`` and ``<what>_env``.
        sources: the values of the three options.

    Raises:
        ConfigurationError: no source or more than one is configured, or the secret is empty.
    """
    configured = [source for source in sources if source is not None]
    if len(configured) != 1:
        raise ConfigurationError.about(
            "", f"exactly one of {what!r}, '{what}_file' and '{what}_env' is needed"
        )
    revealed = configured[0].get_secret_value()
    if not revealed:
        raise ConfigurationError.about(what, "is empty")
    return revealed
