"""Types for options: what a path, a secret or a network in the configuration is.

Annotate a plug-in's parameters with them; they are proved at start-up.  A configuration that is
proved offline may be far from where its secrets are: then their places are not looked at.
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
    normalised,
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
    """The path from where the process is, as far as the context tells."""
    base: Path = (info.context or {}).get("base", Path())
    return base / path.expanduser()


FilePath = Annotated[Path, AfterValidator(resolve)]
"""A path; a relative one starts at the directory of ``config.json``, ``~`` at the home."""


def compiled(written: Any, compile_: Callable[[Any], Any]) -> GetPydanticSchema:
    """An annotation for an option that is written as one type and used as another.

    Args:
        written: the type of what stands in the configuration; its problems name their places.
        compile_: makes of it what the plug-in gets; a ValueError of its is a problem.
    """

    def schema(_used: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler.generate_schema(written)
        return core_schema.no_info_after_validator_function(compile_, inner)

    return GetPydanticSchema(schema)


def text(format_: str, **more: Any) -> WithJsonSchema:
    """What a JSON Schema, and the reference that is made of it, say of a string.

    Args:
        format_: what the string is.
        more: keywords of JSON Schema.
    """
    return WithJsonSchema({"type": "string", "format": format_, **more})


def _network(value: Any) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("should be a network such as '10.0.0.0/8', '10.1.2.3' or '2001:db8::/32'")
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError(str(error)) from None
    return normalised(network)


Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network), text("network")]
"""An IPv4 or IPv6 range in CIDR form, without host bits; a single address is a range of one."""

Domain = Annotated[str, AfterValidator(parse_domain), text("domain", pattern=r"^\.")]
"""A domain with its leading dot, ``.example.com``: the names below it; ``.`` is every name."""

Domains = Annotated[DomainSet, compiled(tuple[Domain, ...], DomainSet)]
"""Any number of domains."""

Networks = Annotated[NetworkSet, compiled(tuple[Network, ...], NetworkSet)]
"""Any number of networks."""

Pattern = Annotated[str, AfterValidator(NamePattern.parse), text("pattern", minLength=1)]
Patterns = Annotated[PatternSet, compiled(tuple[Pattern, ...], PatternSet)]
"""Any number of names, names with ``%``, addresses and ranges."""

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
"""Any number of extensions, by RFC 5280's and OpenSSL's names, or as dotted OIDs."""

Usage = Annotated[str, AfterValidator(usage_name), text("key usage", examples=list(USAGES))]
"""A key usage by its long or short name; it arrives by RFC 5280's."""

Usages = Annotated[frozenset[str], compiled(tuple[Usage, ...], frozenset)]
"""Any number of key usages."""

ExtendedUsage = Annotated[
    str,
    AfterValidator(extended_usage_oid),
    text("extended key usage", examples=list(EXTENDED_USAGES)),
]
"""An extended key usage by OpenSSL's long or short name, or as a dotted OID; it arrives as OID."""

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
"""A time as RFC 3339 writes it."""

Secret = SecretStr
"""A secret; ``get_secret_value()`` reveals it, and nothing else does."""


def read_private(path: Path) -> bytes:
    """The contents of a file that nobody but its owner and its group may read.

    Raises:
        ValueError: it cannot be read, or others may read it, or the group may change it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            # Readable by its group is how a service gets at a file that root owns.
            if mode & 0o027:
                raise ValueError(
                    f"{path} has mode {mode:04o}: others must not read it, nor the group write it"
                )
            return file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Private:
    """A file with a private key or the like, and what is in it."""

    path: Path
    contents: bytes = field(repr=False)


def _private(path: Path) -> Private:
    return Private(path, read_private(path))


def read_secret(path: Path) -> Secret:
    """The secret in such a file, without the line break at its end.

    Raises:
        ValueError: as :func:`read_private`, or it is not text.
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


def _on_path(read: Callable[[Path], Any], unread: Callable[[Path], Any]) -> Any:
    """Read the file whose path is given; offline there is something unread in its place."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            raise ValueError("should be a path")
        path = resolve(Path(value), info)
        return unread(path) if _is_offline(info) else read(path)

    return PlainValidator(validate)


PrivateFile = Annotated[Private, _on_path(_private, lambda path: Private(path, b"")), text("path")]
"""The path of a file that others must not read; its contents are read at start-up."""

SecretFile = Annotated[Secret, _on_path(read_secret, lambda _: Secret("")), text("path")]
"""The path of a file with a secret in it; a line break at its end does not count."""

SecretEnv = Annotated[Secret, PlainValidator(_secret_in_environment), text("environment variable")]
"""The name of an environment variable with a secret in it."""


def one_secret(what: str, *places: Secret | None) -> str:
    """The secret from the one place that is configured: the JSON, a file or the environment.

    Args:
        what: the option's name; ``<what>_file`` and ``<what>_env`` are those of its alternatives.
        places: what was found in each of them.

    Raises:
        ConfigurationError: none or more than one place is configured, or the secret is empty.
    """
    given = [place for place in places if place is not None]
    if len(given) != 1:
        raise ConfigurationError.about(
            "", f"exactly one of {what!r}, '{what}_file' and '{what}_env' is needed"
        )
    revealed = given[0].get_secret_value()
    if not revealed:
        raise ConfigurationError.about(what, "is empty")
    return revealed
