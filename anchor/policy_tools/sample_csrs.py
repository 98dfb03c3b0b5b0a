"""Sample requests for policy tests, built from short descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

import pydantic
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.X509.oids import USAGES, extended_usage_oid, extension_oid, usage_name

KEYS: Mapping[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    **{
        f"rsa-{bits}": partial(rsa.generate_private_key, 65537, bits)
        for bits in (1024, 2048, 3072, 4096)
    },
    "ec-p256": partial(ec.generate_private_key, ec.SECP256R1()),
    "ec-p384": partial(ec.generate_private_key, ec.SECP384R1()),
    "ec-p521": partial(ec.generate_private_key, ec.SECP521R1()),
    "ec-secp256k1": partial(ec.generate_private_key, ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


def _parsed_by(parse: Callable[[str], Any]) -> pydantic.PlainValidator:
    """A validator that parses text."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("should be text")
        return parse(value)

    return pydantic.PlainValidator(validate)


Address = Annotated[IPv4Address | IPv6Address, _parsed_by(ip_address)]
"""An IPv4 or IPv6 address."""


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError("should be bytes in hexadecimal") from None


def _name(text: str) -> x509.Name:
    try:
        return x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        reason = str(error) or "should be like 'CN=www.example.com,O=Example'"
        raise ValueError(reason) from None


def _key_kind(text: str) -> str:
    if text not in KEYS:
        raise ValueError(f"should be one of {', '.join(KEYS)}")
    return text


class ExtraExtension(pydantic.BaseModel):
    """An extension given by its OID and its DER value; the default value is ASN.1 NULL."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    oid: Annotated[x509.ObjectIdentifier, _parsed_by(extension_oid)]
    critical: bool = False
    value: Annotated[bytes, _parsed_by(_hexadecimal)] = b"\x05\x00"


class Description(pydantic.BaseModel):
    """The description of a request, as policy tests contain it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    common_name: str | None = None
    subject: Annotated[x509.Name, _parsed_by(_name)] | None = None
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[Address, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    key: Annotated[str, pydantic.AfterValidator(_key_kind)] = "ec-p256"
    key_usage: tuple[Annotated[str, pydantic.AfterValidator(usage_name)], ...] = ()
    extended_key_usage: tuple[
        Annotated[x509.ObjectIdentifier, _parsed_by(extended_usage_oid)], ...
    ] = ()
    ca: bool = False
    path_length: Annotated[int, pydantic.Field(ge=0)] | None = None
    extensions: tuple[ExtraExtension, ...] = ()

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> Description:
        if self.subject is not None and self.common_name is not None:
            raise ValueError("'subject' and 'common_name' exclude each other")
        if self.path_length is not None and not self.ca:
            raise ValueError("'path_length' requires 'ca': true")
        return self


class CsrFactory:
    """Builds sample requests, with one key for each kind because RSA keys are slow to generate."""

    def __init__(self) -> None:
        self._keys: dict[str, CertificateIssuerPrivateKeyTypes] = {}

    def make(self, description: Description) -> bytes:
        """The request in PEM.

        Raises:
            ValueError: a value cannot be encoded in a request.
        """
        if description.key not in self._keys:
            self._keys[description.key] = KEYS[description.key]()
        key = self._keys[description.key]
        builder = x509.CertificateSigningRequestBuilder(_subject(description))
        for value, critical in _extensions(description):
            builder = builder.add_extension(value, critical)
        edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        request = builder.sign(key, None if edwards else hashes.SHA256())
        return request.public_bytes(Encoding.PEM)


def _subject(description: Description) -> x509.Name:
    if description.subject is not None:
        return description.subject
    if description.common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, description.common_name)])


def _extensions(description: Description) -> Iterator[tuple[x509.ExtensionType, bool]]:
    names: list[x509.GeneralName] = [
        *map(x509.DNSName, description.dns_names),
        *map(x509.IPAddress, description.ip_addresses),
        *map(x509.RFC822Name, description.emails),
        *map(x509.UniformResourceIdentifier, description.uris),
    ]
    if names:
        # RFC 5280 4.2.1.6: critical when the subject is empty.
        yield x509.SubjectAlternativeName(names), not list(_subject(description))
    if description.key_usage:
        usages = {attribute: name in description.key_usage for name, attribute in USAGES.items()}
        yield x509.KeyUsage(**usages), True
    if description.extended_key_usage:
        yield x509.ExtendedKeyUsage(description.extended_key_usage), False
    if description.ca:
        yield x509.BasicConstraints(True, description.path_length), True
    for extra in description.extensions:
        yield x509.UnrecognizedExtension(extra.oid, extra.value), extra.critical
