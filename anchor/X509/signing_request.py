"""A certificate signing request (PKCS#10, RFC 2986) as an immutable value.

What a requester submitted is read completely when it arrives, so that no later step can stumble
over its encoding.  A changed request is another value; the submitted octets, and with them the
proof that the requester possesses the key, stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor import errors, signatures
from anchor.X509 import pem

PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | dsa.DSAPublicKey
)
Extension = x509.Extension[x509.ExtensionType]
ExtensionType = TypeVar("ExtensionType", bound=x509.ExtensionType)

PEM_LABELS = frozenset({"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"})

# Every check looks at every name; whoever needs more names needs several certificates.
MAX_NAMES = 1000

# RFC 2985 5.4.2, where extensions belong.
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
# Windows' own way to carry extensions; another copy of them is another chance to disagree.
_MICROSOFT_EXTENSION_REQUEST = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.14")


@dataclass(frozen=True, eq=False)
class Submitted:
    """The request as it arrived: the octets, and what the parser made of them."""

    der: bytes
    request: x509.CertificateSigningRequest
    public_key: PublicKey

    @cached_property
    def proves_possession(self) -> bool:
        """Whether the request is signed with its own key (RFC 2986 section 3)."""
        try:
            signatures.verify(
                self.public_key,
                self.request.signature,
                self.request.tbs_certrequest_bytes,
                self.request.signature_algorithm_parameters,
                self.request.signature_hash_algorithm,
            )
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False
        return True


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
            UnreadableRequest: it is anything but one well-formed request, in DER, that carries its
                extensions once and in one place.
        """
        try:
            request = x509.load_der_x509_csr(der)
            canonical = request.public_bytes(Encoding.DER) == der
            attributes = [attribute.oid for attribute in request.attributes]
            subject = request.subject
            extensions = tuple(request.extensions)
            names = [attribute.value for attribute in subject]
            public_key = request.public_key()
        except UnsupportedAlgorithm as error:
            raise errors.UnreadableRequest(f"unsupported: {_one_line(error)}") from error
        except x509.DuplicateExtension as error:
            raise errors.UnreadableRequest(
                f"the extension {error.oid.dotted_string} is in it twice"
            ) from error
        except Exception as error:
            # Whatever a parser makes of hostile octets, the fault is in the octets.
            raise errors.UnreadableRequest(
                f"it is not a valid certificate signing request: {_one_line(error)}"
            ) from error
        if not canonical:
            raise errors.UnreadableRequest("it is not encoded in DER")
        if len(set(attributes)) != len(attributes):
            raise errors.UnreadableRequest("an attribute is in it twice")
        if _MICROSOFT_EXTENSION_REQUEST in attributes:
            raise errors.UnreadableRequest(
                "Microsoft's extensionRequest attribute is not supported"
            )
        if extensions and _EXTENSION_REQUEST not in attributes:
            raise errors.UnreadableRequest(
                "its extensions are not in an extensionRequest attribute"
            )
        if not isinstance(public_key, PublicKey):
            raise errors.UnreadableRequest("its public key is of a kind that cannot be certified")
        csr = cls(Submitted(der, request, public_key), subject, extensions)
        if len(names) + len(csr.alternative_names) > MAX_NAMES:
            raise errors.UnreadableRequest(f"it has more than {MAX_NAMES} names")
        return csr

    @classmethod
    def from_pem(cls, text: bytes) -> X509Csr:
        """Read the one PEM block that ``text`` consists of; raises as :meth:`from_der` does."""
        return cls.from_der(pem.decode(text, PEM_LABELS))

    # ---- what it says

    @property
    def public_key(self) -> PublicKey:
        """The key that is to be certified."""
        return self.submitted.public_key

    @cached_property
    def public_key_info(self) -> bytes:
        """The key as DER-encoded SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def common_names(self) -> tuple[str, ...]:
        """Every commonName in the subject, in its order."""
        found = self.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(attribute.value) for attribute in found)

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
        return replace(self, subject=subject)

    def with_extension(self, value: x509.ExtensionType, critical: bool = False) -> X509Csr:
        """The same request with this extension, in the place of one of its type if it has one."""
        extension: Extension = x509.Extension(value.oid, critical, value)
        if not any(present.oid == value.oid for present in self.extensions):
            return replace(self, extensions=(*self.extensions, extension))
        return replace(
            self,
            extensions=tuple(
                extension if present.oid == value.oid else present for present in self.extensions
            ),
        )

    def without_extensions(self, oids: Iterable[x509.ObjectIdentifier]) -> X509Csr:
        """The same request without these extensions; those that it does not have do not matter."""
        unwanted = frozenset(oids)
        return replace(
            self,
            extensions=tuple(present for present in self.extensions if present.oid not in unwanted),
        )

    def with_alternative_names(self, names: Iterable[x509.GeneralName]) -> X509Csr:
        """The same request with exactly these entries in subjectAltName; none removes it."""
        names = list(names)
        if not names:
            return self.without_extensions([x509.SubjectAlternativeName.oid])
        # RFC 5280 4.2.1.6: critical when the subject is empty, and not otherwise.
        return self.with_extension(x509.SubjectAlternativeName(names), not list(self.subject))


def _one_line(error: Exception) -> str:
    """The parser's own words, short and printable whatever the request had in it."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ascii(text)[1:-1][:200]
