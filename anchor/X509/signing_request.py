"""A certificate signing request (PKCS#10, RFC 2986) as an immutable value.

The submitted request is parsed completely on arrival, so no later step can fail because of its
encoding.  A change makes a new value, which keeps the submitted bytes and with them the proof of
possession.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from anchor import errors
from anchor.X509 import csr_encoding, pem
from anchor.X509.general_names import InterpretedName, interpret_names
from anchor.X509.oids import name_of_extension
from anchor.X509.parse_errors import translate_parse_errors, without_length_warnings
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

_SUBJECT_PROPERTIES = frozenset({"subject_attributes", "subject_text", "common_names"})

PEM_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})


@dataclass(frozen=True, eq=False)
class Submitted:
    """The submitted request, which no fixup changes.

    Attributes:
        der: the submitted bytes.
        signed: the part of them that the signature covers.
        request: the same request in strict DER, with names in the string types of RFC 5280.  If
            that differs from ``der``, verify the signature over ``signed`` only.
        public_key: the public key in the request.
        public_key_info: the key as DER-encoded SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
        signature_hash: the hash of the signature algorithm; None if it has none.
        signature_parameters: the parameters of the signature algorithm; None if it has none.
        attributes: the types of its attributes.
    """

    der: bytes
    signed: bytes
    request: x509.CertificateSigningRequest
    public_key: PublicKey
    public_key_info: bytes
    signature_hash: hashes.HashAlgorithm | None
    signature_parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None
    attributes: frozenset[x509.ObjectIdentifier]

    @cached_property
    def key_fingerprint(self) -> str:
        """The SHA-256 of ``public_key_info`` in hexadecimal."""
        return hashlib.sha256(self.public_key_info).hexdigest()

    @cached_property
    def signature_is_valid(self) -> bool:
        """True if the signature verifies with the request's key (RFC 2986 section 3)."""
        if self.broken_hash is not None or not self._algorithm_fits_key():
            return False
        try:
            with translate_parse_errors("signature"):
                verify_signature(
                    self.public_key,
                    self.signature_parameters,
                    self.signature_hash,
                    signature=self.request.signature,
                    signed=self.signed,
                )
        except errors.UnreadableRequest:
            return False
        return True

    def _algorithm_fits_key(self) -> bool:
        """True unless an Ed25519 or Ed448 key comes with another curve's algorithm.

        verify_signature() checks the algorithms that have a hash.
        """
        if self.signature_hash is not None:
            return True
        used = self.request.signature_algorithm_oid
        if isinstance(self.public_key, ed25519.Ed25519PublicKey):
            return used == SignatureAlgorithmOID.ED25519
        if isinstance(self.public_key, ed448.Ed448PublicKey):
            return used == SignatureAlgorithmOID.ED448
        return True

    @property
    def broken_hash(self) -> str | None:
        """The name of the signature's hash if it is broken (MD5 or SHA-1); otherwise None."""
        used = self.signature_hash
        return used.name if used is not None and type(used) in _BROKEN_HASHES else None


@dataclass(frozen=True, eq=False)
class X509Csr:
    """A certificate signing request: the requested names, extensions and public key.

    Attributes:
        submitted: the request as submitted.
        subject: the requested subject.
        extensions: the requested extensions, in order.
    """

    submitted: Submitted
    subject: x509.Name
    extensions: tuple[Extension, ...]

    @classmethod
    def from_der(cls, der: bytes) -> X509Csr:
        """Parse a DER-encoded PKCS#10.

        Raises:
            UnreadableRequest: it is malformed, repeats extensions, or a part that the certificate
                would repeat is not in DER.
        """
        with translate_parse_errors("certificate signing request"):
            parsed = csr_encoding.parse(der)
            request = x509.load_der_x509_csr(parsed.canonical)
            is_canonical = request.public_bytes(Encoding.DER) == parsed.canonical
            with without_length_warnings(parsed.canonical):
                subject = request.subject
                extensions = tuple(request.extensions)
            public_key = request.public_key()
            # Both properties raise for unknown algorithms.
            signature_hash = request.signature_hash_algorithm
            signature_parameters = request.signature_algorithm_parameters
        if not is_canonical:
            raise errors.UnreadableRequest("the request is not encoded in DER")
        if not isinstance(public_key, PublicKey):
            raise errors.UnreadableRequest("the public key is of a kind that cannot be certified")
        public_key_info = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        submitted = Submitted(
            der=der,
            signed=parsed.signed,
            request=request,
            public_key=public_key,
            public_key_info=public_key_info,
            signature_hash=signature_hash,
            signature_parameters=signature_parameters,
            attributes=parsed.attributes,
        )
        csr = cls(submitted, subject, extensions)
        csr._require_same_encoding(parsed)
        return csr

    def _require_same_encoding(self, parsed: csr_encoding.ParsedCsr) -> None:
        """Raise if a certificate would encode the key or the keyUsage differently."""
        if self.public_key_info != parsed.public_key:
            # For example RSA-PSS keys, explicit curve parameters, compressed points.
            raise errors.UnreadableRequest(
                "the public key is encoded in a way that is not supported"
            )
        usage = self.extension(x509.KeyUsage)
        if usage and usage.value.public_bytes() != parsed.key_usage:
            raise errors.UnreadableRequest(
                f"the extension {name_of_extension(usage.oid)} is encoded in a way that is not "
                "supported"
            )

    @classmethod
    def from_pem(cls, text: bytes) -> X509Csr:
        """Parse the only PEM block in ``text``; raises like :meth:`from_der`."""
        return cls.from_der(pem.decode(text, PEM_LABELS))

    @property
    def public_key(self) -> PublicKey:
        """The key to be certified."""
        return self.submitted.public_key

    @property
    def public_key_info(self) -> bytes:
        """The key as DER-encoded SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
        return self.submitted.public_key_info

    @property
    def key_fingerprint(self) -> str:
        """The SHA-256 of ``public_key_info`` in hexadecimal."""
        return self.submitted.key_fingerprint

    @cached_property
    def subject_attributes(self) -> tuple[x509.NameAttribute[str | bytes], ...]:
        """Every attribute of the subject, in order."""
        return tuple(self.subject)

    @cached_property
    def subject_text(self) -> str:
        """The subject as an RFC 4514 string."""
        return self.subject.rfc4514_string()

    @cached_property
    def common_names(self) -> tuple[str, ...]:
        """Every commonName in the subject, in order."""
        return tuple(
            str(attribute.value)
            for attribute in self.subject_attributes
            if attribute.oid == NameOID.COMMON_NAME
        )

    @cached_property
    def alternative_names(self) -> tuple[x509.GeneralName, ...]:
        """Every entry of subjectAltName (RFC 5280 section 4.2.1.6), in order."""
        extension = self.extension(x509.SubjectAlternativeName)
        return tuple(extension.value) if extension else ()

    @cached_property
    def dns_names(self) -> tuple[str, ...]:
        """The dNSName entries of subjectAltName."""
        return tuple(
            each.value for each in self.alternative_names if isinstance(each, x509.DNSName)
        )

    @cached_property
    def ip_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The iPAddress entries of subjectAltName that are addresses, not ranges."""
        return tuple([name.value for name in self.alternative_names if _is_address(name)])

    @cached_property
    def other_names(self) -> tuple[x509.GeneralName, ...]:
        """The entries of subjectAltName that are neither DNS names nor IP addresses."""
        return tuple(
            name
            for name in self.alternative_names
            if not isinstance(name, x509.DNSName) and not _is_address(name)
        )

    @cached_property
    def interpreted_names(self) -> tuple[InterpretedName, ...]:
        """The names in subject and subjectAltName, with the hosts and mailboxes they name."""
        return tuple(interpret_names(self.subject_attributes, self.alternative_names))

    def extension(self, kind: type[ExtensionType]) -> x509.Extension[ExtensionType] | None:
        """The extension of that type, or None."""
        for extension in self.extensions:
            # The library may return an unparsed extension (UnrecognizedExtension) for this OID.
            if extension.oid == kind.oid and isinstance(extension.value, kind):
                return cast(x509.Extension[ExtensionType], extension)
        return None

    def with_subject(self, subject: x509.Name) -> X509Csr:
        """A copy with another subject."""
        return X509Csr(self.submitted, subject, self.extensions)

    def with_extension(self, value: x509.ExtensionType, critical: bool = False) -> X509Csr:
        """A copy with this extension, which replaces one of the same type."""
        extension: Extension = x509.Extension(value.oid, critical, value)
        if not any(present.oid == value.oid for present in self.extensions):
            return self._with_extensions((*self.extensions, extension))
        return self._with_extensions(
            tuple(extension if present.oid == value.oid else present for present in self.extensions)
        )

    def without_extensions(self, oids: Iterable[x509.ObjectIdentifier]) -> X509Csr:
        """A copy without these extensions; OIDs that it does not have are ignored."""
        unwanted = frozenset(oids)
        return self._with_extensions(
            tuple(present for present in self.extensions if present.oid not in unwanted)
        )

    def _with_extensions(self, extensions: tuple[Extension, ...]) -> X509Csr:
        copy = X509Csr(self.submitted, self.subject, extensions)
        # Keep the cached properties that depend on the subject only.
        for name in _SUBJECT_PROPERTIES & self.__dict__.keys():
            copy.__dict__[name] = self.__dict__[name]
        return copy

    def with_alternative_names(self, names: Iterable[x509.GeneralName]) -> X509Csr:
        """A copy with exactly these subjectAltName entries; no entries remove the extension."""
        names = list(names)
        if not names:
            return self.without_extensions([x509.SubjectAlternativeName.oid])
        # RFC 5280 4.2.1.6: critical when the subject is empty, and not otherwise.
        return self.with_extension(x509.SubjectAlternativeName(names), not self.subject_attributes)


def _is_address(name: x509.GeneralName) -> bool:
    return isinstance(name, x509.IPAddress) and isinstance(name.value, IPv4Address | IPv6Address)
