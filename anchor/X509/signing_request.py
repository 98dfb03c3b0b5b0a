"""A certificate signing request (PKCS#10, RFC 2986) as an immutable value.

What a requester submitted is read completely when it arrives, so that no later step can stumble
over its encoding.  A changed request is another value; the submitted octets, and with them the
proof that the requester possesses the key, stay what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from anchor import errors
from anchor.X509 import csr_encoding, pem
from anchor.X509.general_names import Named, named
from anchor.X509.oids import name_of_extension
from anchor.X509.parse_errors import parsing, without_length_warnings
from anchor.X509.signatures import verify_signature

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | dsa.DSAPublicKey
)
Extension = x509.Extension[x509.ExtensionType]
ExtensionType = TypeVar("ExtensionType", bound=x509.ExtensionType)

_BROKEN_HASHES = frozenset({hashes.MD5, hashes.SHA1})

_OF_THE_SUBJECT = frozenset({"subject_attributes", "subject_text", "common_names"})

PEM_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})


@dataclass(frozen=True, eq=False)
class Submitted:
    """The request as it arrived.

    Attributes:
        der: the submitted bytes.
        signed: the part of them that the signature is over.
        request: the same request in strict DER, with its names in today's string types; where that
            differs from the submitted bytes, its signature does not verify over it.
    """

    der: bytes
    signed: bytes
    request: x509.CertificateSigningRequest
    public_key: PublicKey

    @cached_property
    def public_key_info(self) -> bytes:
        """The key as DER-encoded SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def key_fingerprint(self) -> str:
        """The SHA-256 over that, in hexadecimal."""
        return hashlib.sha256(self.public_key_info).hexdigest()

    @cached_property
    def signature_hash(self) -> hashes.HashAlgorithm | None:
        """The hash that is signed, for algorithms that take one."""
        return self.request.signature_hash_algorithm

    @cached_property
    def signature_is_valid(self) -> bool:
        """Whether the request is signed with its own key (RFC 2986 section 3)."""
        if self.broken_hash is not None or not self._names_the_right_curve():
            return False
        try:
            with parsing("signature"):
                verify_signature(
                    self.public_key,
                    self.request.signature_algorithm_parameters,
                    self.signature_hash,
                    signature=self.request.signature,
                    signed=self.signed,
                )
        except errors.UnreadableRequest:
            return False
        return True

    def _names_the_right_curve(self) -> bool:
        """Whether an Edwards key signs under its own name; other algorithms tell by their hash."""
        if self.signature_hash is not None:
            return True
        used = self.request.signature_algorithm_oid
        if isinstance(self.public_key, ed25519.Ed25519PublicKey):
            return used == SignatureAlgorithmOID.ED25519
        if isinstance(self.public_key, ed448.Ed448PublicKey):
            return used == SignatureAlgorithmOID.ED448
        return True

    @cached_property
    def broken_hash(self) -> str | None:
        """The name of the hash that is signed, if no signature over it proves anything."""
        used = self.signature_hash
        return used.name if used is not None and type(used) in _BROKEN_HASHES else None


@dataclass(frozen=True, eq=False)
class X509Csr:
    """A certificate signing request: who asks for which names, usages and key."""

    submitted: Submitted
    subject: x509.Name
    extensions: tuple[Extension, ...]

    @classmethod
    def from_der(cls, der: bytes) -> X509Csr:
        """Read a DER-encoded request.

        Raises:
            UnreadableRequest: it is not one well-formed request that carries its extensions once
                and in one place, or a certificate would repeat something that is not in DER.
        """
        with parsing("certificate signing request"):
            parts = csr_encoding.parts(der)
            request = x509.load_der_x509_csr(parts.canonical)
            canonical = request.public_bytes(Encoding.DER) == parts.canonical
            with without_length_warnings(parts.canonical):
                subject = request.subject
                extensions = tuple(request.extensions)
            public_key = request.public_key()
            # Either raises when it is asked for what it does not know.
            _ = request.signature_hash_algorithm, request.signature_algorithm_parameters
        if not canonical:
            raise errors.UnreadableRequest("it is not encoded in DER")
        if not isinstance(public_key, PublicKey):
            raise errors.UnreadableRequest("its public key is of a kind that cannot be certified")
        submitted = Submitted(der, parts.signed, request, public_key)
        read = cls(submitted, subject, extensions)
        read._require_faithful(parts)
        return read

    def _require_faithful(self, parts: csr_encoding.Parts) -> None:
        """Raise unless a certificate would have the key and the usages byte for byte."""
        if self.public_key_info != parts.public_key:
            # RSA keys that are bound to PSS, curves by their parameters, compressed points.
            raise errors.UnreadableRequest(
                "its public key is encoded in a way that is not supported"
            )
        usage = self.extension(x509.KeyUsage)
        if usage and usage.value.public_bytes() != parts.key_usage:
            raise errors.UnreadableRequest(
                f"the extension {name_of_extension(usage.oid)} is encoded in a way that is not "
                "supported"
            )

    @classmethod
    def from_pem(cls, text: bytes) -> X509Csr:
        """Read the one PEM block that ``text`` consists of; raises as :meth:`from_der` does."""
        return cls.from_der(pem.decode(text, PEM_LABELS))

    # ---- what it says

    @property
    def public_key(self) -> PublicKey:
        """The key that is to be certified."""
        return self.submitted.public_key

    @property
    def public_key_info(self) -> bytes:
        """The key as DER-encoded SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
        return self.submitted.public_key_info

    @property
    def key_fingerprint(self) -> str:
        """The SHA-256 over that, in hexadecimal."""
        return self.submitted.key_fingerprint

    @cached_property
    def subject_attributes(self) -> tuple[x509.NameAttribute[str | bytes], ...]:
        """Every attribute of the subject, in its order."""
        return tuple(self.subject)

    @cached_property
    def subject_text(self) -> str:
        """The subject as RFC 4514 writes it."""
        return self.subject.rfc4514_string()

    @cached_property
    def common_names(self) -> tuple[str, ...]:
        """Every commonName in the subject, in its order."""
        return tuple(
            str(attribute.value)
            for attribute in self.subject_attributes
            if attribute.oid == NameOID.COMMON_NAME
        )

    @cached_property
    def alternative_names(self) -> tuple[x509.GeneralName, ...]:
        """Every entry of subjectAltName (RFC 5280 section 4.2.1.6), in its order."""
        extension = self.extension(x509.SubjectAlternativeName)
        return tuple(extension.value) if extension else ()

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The dNSName entries of subjectAltName."""
        return tuple(
            name.value for name in self.alternative_names if isinstance(name, x509.DNSName)
        )

    @cached_property
    def ip_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The iPAddress entries of subjectAltName that are addresses, as those in a CSR must be."""
        return tuple(
            name.value
            for name in self.alternative_names
            if isinstance(name, x509.IPAddress)
            and isinstance(name.value, IPv4Address | IPv6Address)
        )

    @cached_property
    def other_names(self) -> tuple[x509.GeneralName, ...]:
        """The entries of subjectAltName that are neither DNS names nor IP addresses."""
        return tuple(
            name
            for name in self.alternative_names
            if not isinstance(name, x509.DNSName)
            and not (
                isinstance(name, x509.IPAddress)
                and isinstance(name.value, IPv4Address | IPv6Address)
            )
        )

    @cached_property
    def named(self) -> tuple[Named, ...]:
        """What each name in the subject and in subjectAltName names."""
        return tuple(named(self.subject_attributes, self.alternative_names))

    def extension(self, kind: type[ExtensionType]) -> x509.Extension[ExtensionType] | None:
        """The extension of that type, or None."""
        found: Any = self._by_oid.get(kind.oid)
        # An extension of that OID whose contents nobody knows is not of that type.
        return found if found is not None and isinstance(found.value, kind) else None

    @cached_property
    def _by_oid(self) -> dict[x509.ObjectIdentifier, Extension]:
        return {extension.oid: extension for extension in self.extensions}

    # ---- another request, made out of this one

    def with_subject(self, subject: x509.Name) -> X509Csr:
        """The same request for another subject."""
        return X509Csr(self.submitted, subject, self.extensions)

    def with_extension(self, value: x509.ExtensionType, critical: bool = False) -> X509Csr:
        """The same request with this extension, in the place of one of its type if it has one."""
        extension: Extension = x509.Extension(value.oid, critical, value)
        if not any(present.oid == value.oid for present in self.extensions):
            return self._with_extensions((*self.extensions, extension))
        return self._with_extensions(
            tuple(extension if present.oid == value.oid else present for present in self.extensions)
        )

    def without_extensions(self, oids: Iterable[x509.ObjectIdentifier]) -> X509Csr:
        """The same request without these extensions; those that it does not have do not matter."""
        unwanted = frozenset(oids)
        return self._with_extensions(
            tuple(present for present in self.extensions if present.oid not in unwanted)
        )

    def _with_extensions(self, extensions: tuple[Extension, ...]) -> X509Csr:
        other = X509Csr(self.submitted, self.subject, extensions)
        # What was worked out of the subject stays.
        for name in _OF_THE_SUBJECT & self.__dict__.keys():
            other.__dict__[name] = self.__dict__[name]
        return other

    def with_alternative_names(self, names: Iterable[x509.GeneralName]) -> X509Csr:
        """The same request with exactly these entries in subjectAltName; none removes it."""
        names = list(names)
        if not names:
            return self.without_extensions([x509.SubjectAlternativeName.oid])
        # RFC 5280 4.2.1.6: critical when the subject is empty, and not otherwise.
        return self.with_extension(x509.SubjectAlternativeName(names), not self.subject_attributes)
