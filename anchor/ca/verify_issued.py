"""Verification that a signed certificate says what was approved, before it is answered."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor.ca.profile import Profile
from anchor.ca.template import CertificateTemplate, certificate_extensions
from anchor.errors import SigningError
from anchor.policy.mandatory_checks import EXPECTED, TAKEN_OVER
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.parse_errors import without_length_warnings
from anchor.X509.signatures import SigningHash
from anchor.X509.signing_request import Extension, X509Csr


def verify_issued(der: bytes, template: CertificateTemplate) -> x509.Certificate:
    """Return the certificate in these bytes if it says what the template says, and no more.

    Args:
        der: the certificate that will be answered.
        template: what it has to say, and who has to have signed it.

    Raises:
        SigningError: with the names of the fields that differ.
    """
    certificate = x509.load_der_x509_certificate(der)
    _verify_signature(certificate, template.issuer)
    with without_length_warnings(der):
        subject, extensions = certificate.subject, tuple(certificate.extensions)
    fields = {
        "version": certificate.version is x509.Version.v3,
        "subject": subject == template.csr.subject,
        "public key": certificate.public_key() == template.csr.public_key,
        "extensions": extensions == template.extensions,
        "serial number": certificate.serial_number == template.serial_number,
        "not before": certificate.not_valid_before_utc == template.not_before,
        "not after": certificate.not_valid_after_utc == template.not_after,
    }
    wrong = [name for name, agrees in fields.items() if not agrees]
    if wrong:
        raise SigningError(f"the signed certificate differs from what was approved: {wrong}")
    return certificate


def verify_external(
    certificate: x509.Certificate,
    csr: X509Csr,
    ca: CACertificate,
    profile: Profile,
    now: datetime.datetime,
) -> None:
    """Require that a certificate made elsewhere keeps the rules and says what was approved.

    Args:
        certificate: what a custom signing backend returned.
        csr: the approved request.
        ca: who has to have signed it.
        profile: bounds its validity; the backend may make it shorter.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: with the names of the fields that are wrong.
    """
    _verify_signature(certificate, ca)
    wanted = {extension.oid: extension for extension in certificate_extensions(csr, ca)}
    with without_length_warnings(certificate.tbs_certificate_bytes):
        subject = certificate.subject
        found = {extension.oid: extension for extension in certificate.extensions}
    latest = min(now + profile.validity, ca.not_after)
    basic = wanted[x509.BasicConstraints.oid].value
    constraints = found.get(x509.BasicConstraints.oid)
    identifier = found.get(x509.AuthorityKeyIdentifier.oid)
    wrong = [
        name
        for name, agrees in (
            ("version", certificate.version is x509.Version.v3),
            ("serial number", 0 < certificate.serial_number < 1 << 159),
            ("subject", subject == csr.subject),
            ("public key", certificate.public_key() == csr.public_key),
            ("not before", certificate.not_valid_before_utc <= now + CLOCK_SKEW),
            ("not after", now < certificate.not_valid_after_utc <= latest + CLOCK_SKEW),
            ("the CA's end", certificate.not_valid_after_utc <= ca.not_after),
            ("signature hash", _is_sound(certificate)),
            # RFC 5280 4.2.1.9: what does not say that it is a CA, is none.
            ("basicConstraints", (_value(constraints) or NO_CA) == basic),
            (
                "authorityKeyIdentifier",
                identifier is None or identifier.value == ca.key_identifier,
            ),
            *(
                (oid._name, _value(found.get(oid)) == _value(wanted.get(oid)))
                for oid in sorted(TAKEN_OVER, key=lambda oid: oid.dotted_string)
            ),
            *((oid.dotted_string, not found[oid].critical) for oid in found if oid not in EXPECTED),
        )
        if not agrees
    ]
    if wrong:
        raise SigningError(f"the signing backend's certificate is not what was approved: {wrong}")


NO_CA = x509.BasicConstraints(ca=False, path_length=None)

# How far the clock of whoever signs for us may be from ours.
CLOCK_SKEW = datetime.timedelta(minutes=5)


def _is_sound(certificate: x509.Certificate) -> bool:
    """Whether the signature is over a hash that nobody finds collisions of, or over none."""
    used = certificate.signature_hash_algorithm
    return used is None or isinstance(used, SigningHash)


def _value(extension: Extension | None) -> x509.ExtensionType | None:
    return extension.value if extension else None


def _verify_signature(certificate: x509.Certificate, ca: CACertificate) -> None:
    """Require that the CA has signed the certificate, in its own name."""
    if certificate.issuer != ca.certificate.subject:
        raise SigningError("the certificate is not issued in the CA's name")
    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise SigningError("the CA's key does not verify the certificate") from error
