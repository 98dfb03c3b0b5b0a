"""Certificates for the challenge tls-alpn-01 (RFC 8737), also wrong ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from anchor.timestamps import utc_now

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def challenge_context(
    directory,
    *,
    names=(),
    addresses=(),
    emails=(),
    value=None,
    critical=True,
    protocols=("acme-tls/1",),
    self_signed=True,
):
    """The context of a TLS server with a certificate of a challenge.

    Args:
        directory: for the files of the certificate.
        names: the DNS names in its subjectAltName.
        addresses: the addresses in its subjectAltName.
        emails: the mail addresses in its subjectAltName.
        value: the bytes of the extension acmeIdentifier; None to leave it out.
        critical: whether that extension is critical.
        protocols: the protocols that the server selects from (ALPN).
        self_signed: False to sign it with another key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "challenge")])
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    general_names = [
        *map(x509.DNSName, names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        *map(x509.RFC822Name, emails),
    ]
    if general_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names), critical=False)
    if value is not None:
        extension = x509.UnrecognizedExtension(ACME_IDENTIFIER, value)
        builder = builder.add_extension(extension, critical=critical)
    issuer = key if self_signed else ec.generate_private_key(ec.SECP256R1())
    certificate = builder.sign(issuer, hashes.SHA256())
    path = directory / f"challenge-{certificate.serial_number}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
