"""The challenge ``tls-alpn-01`` (RFC 8737, and RFC 8738 for addresses)."""

from __future__ import annotations

import ssl
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor.acme.problems import ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.connections import Connector, Host, describe
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.limited_connection import LimitedConnection
from anchor.acme.validation.time_limit import TimeLimit
from anchor.acme.validation.tls_connection import TlsConnection
from anchor.store.acme_records import Identifier

_PROTOCOL = "acme-tls/1"
# A handshake with one certificate has less than 4 KiB.
_MAX_BYTES = 65_536
_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
# DER: an OCTET STRING of 32 bytes.
_DIGEST_HEADER = b"\x04\x20"
_UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def validate(
    attempt: Attempt, settings: AcmeSettings, connector: Connector, limit: TimeLimit
) -> None:
    """Require that the machine with the name answers with the certificate of the challenge.

    Raises:
        ChallengeFailed: it does not.
    """
    identifier = attempt.identifier
    shown = f"port {settings.tls_port} of {identifier}"
    is_address = identifier.type == "ip"
    host: Host = ip_address(identifier.value) if is_address else identifier.value
    # RFC 8738 section 6: the server name for an address is that of the reverse lookup.
    server_name = ip_address(identifier.value).reverse_pointer if is_address else identifier.value
    connection = connector.connect(host, settings.tls_port)
    try:
        with connection:
            limited = LimitedConnection(connection, _MAX_BYTES, limit)
            tls = TlsConnection(limited, _context(), server_name)
    except ssl.SSLError as error:
        raise ChallengeFailed(
            ProblemType.TLS, f"{shown}: the TLS handshake failed ({error.reason or 'no reason'})"
        ) from None
    except OSError as error:
        raise ChallengeFailed(ProblemType.CONNECTION, f"{shown}: {describe(error)}") from None
    if tls.protocol != _PROTOCOL:
        raise ChallengeFailed(
            ProblemType.TLS, f"{shown}: the server should select the protocol {_PROTOCOL!r} (ALPN)"
        )
    problem = _problem(tls.certificate or b"", identifier, attempt.digest)
    if problem is not None:
        raise ChallengeFailed(ProblemType.INCORRECT_RESPONSE, f"{shown}: the certificate {problem}")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # RFC 8737 section 4.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    # The certificate is self-signed, and its contents are checked instead.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([_PROTOCOL])
    return context


def _problem(encoded: bytes, identifier: Identifier, digest: bytes) -> str | None:
    """What is wrong with the certificate; None if it answers the challenge."""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        names = _names(certificate)
        extension = certificate.extensions.get_extension_for_oid(_ACME_IDENTIFIER)
        certificate.verify_directly_issued_by(certificate)
    except x509.ExtensionNotFound as error:
        missing = "acmeIdentifier" if error.oid == _ACME_IDENTIFIER else "subjectAltName"
        return f"has no extension {missing}"
    except _UNREADABLE:
        return "should be readable, and signed with the key that it has"
    if names != [identifier]:
        return f"should have exactly the name {identifier} in its subjectAltName"
    value = extension.value
    if not isinstance(value, x509.UnrecognizedExtension) or not extension.critical:
        return "should have a critical extension acmeIdentifier"
    if value.value != _DIGEST_HEADER + digest:
        return "should have the SHA-256 of the key authorization as its acmeIdentifier"
    return None


def _names(certificate: x509.Certificate) -> list[Identifier | None]:
    """The names in the subjectAltName; None for one of another kind."""
    names: list[Identifier | None] = []
    for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value:
        match name:
            case x509.DNSName():
                names.append(Identifier("dns", name.value.lower()))
            case x509.IPAddress():
                names.append(Identifier("ip", str(name.value)))
            case _:
                names.append(None)
    return names
