"""Verification that a signed certificate contains what was approved, before it is sent."""

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


def verify_issued(certificate: x509.Certificate, template: CertificateTemplate) -> None:
    """Require that a certificate contains what its template says, and is signed.

    Args:
        certificate: the certificate, parsed from its encoding.
        template: the approved contents, and the issuer.

    Raises:
        SigningError: the signature is wrong, or fields differ; with the names of the fields.
    """
    _verify_signature(certificate, template.issuer)
    with without_length_warnings(certificate.tbs_certificate_bytes):
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
    wrong = [name for name, matches in fields.items() if not matches]
    if wrong:
        raise SigningError(f"the signed certificate differs from what was approved: {wrong}")


def verify_external(
    certificate: x509.Certificate,
    csr: X509Csr,
    ca: CACertificate,
    profile: Profile,
    now: datetime.datetime,
) -> None:
    """Require that a certificate from another signer contains what was approved.

    Args:
        certificate: the certificate that a custom signing backend returned.
        csr: the approved request.
        ca: the issuer.
        profile: the maximum validity; the certificate's may be shorter.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: the signature is wrong, or fields differ; with the names of the fields.
    """
    _verify_signature(certificate, ca)
    expected = {extension.oid: extension for extension in certificate_extensions(csr, ca)}
    with without_length_warnings(certificate.tbs_certificate_bytes):
        subject = certificate.subject
        present = {extension.oid: extension for extension in certificate.extensions}
    latest = min(now + profile.validity, ca.not_after)
    basic = expected[x509.BasicConstraints.oid].value
    constraints = present.get(x509.BasicConstraints.oid)
    identifier = present.get(x509.AuthorityKeyIdentifier.oid)
    wrong = [
        name
        for name, matches in (
            ("version", certificate.version is x509.Version.v3),
            ("serial number", 0 < certificate.serial_number < 1 << 159),
            ("subject", subject == csr.subject),
            ("public key", certificate.public_key() == csr.public_key),
            ("not before", certificate.not_valid_before_utc <= now + CLOCK_SKEW),
            ("not after", now < certificate.not_valid_after_utc <= latest + CLOCK_SKEW),
            ("the CA's end", certificate.not_valid_after_utc <= ca.not_after),
            ("signature hash", _has_strong_hash(certificate)),
            # RFC 5280 4.2.1.9: a certificate without basicConstraints is not a CA's.
            ("basicConstraints", (_value(constraints) or NO_CA) == basic),
            (
                "authorityKeyIdentifier",
                identifier is None or identifier.value == ca.key_identifier,
            ),
            *(
                (oid._name, _value(present.get(oid)) == _value(expected.get(oid)))
                for oid in sorted(TAKEN_OVER, key=lambda oid: oid.dotted_string)
            ),
            *(
                (oid.dotted_string, not present[oid].critical)
                for oid in present
                if oid not in EXPECTED
            ),
        )
        if not matches
    ]
    if wrong:
        raise SigningError(f"the signing backend's certificate is not what was approved: {wrong}")


NO_CA = x509.BasicConstraints(ca=False, path_length=None)

# The allowed difference between our clock and that of an external signer.
CLOCK_SKEW = datetime.timedelta(minutes=5)


def _has_strong_hash(certificate: x509.Certificate) -> bool:
    """True if the signature uses a collision-resistant hash, or none (Ed25519 and Ed448)."""
    used = certificate.signature_hash_algorithm
    return used is None or isinstance(used, SigningHash)


def _value(extension: Extension | None) -> x509.ExtensionType | None:
    return extension.value if extension else None


def _verify_signature(certificate: x509.Certificate, ca: CACertificate) -> None:
    """Require that the CA is the certificate's issuer and has signed it."""
    try:
        certificate.verify_directly_issued_by(ca.certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        if certificate.issuer != ca.subject:
            raise SigningError("the certificate is not issued in the CA's name") from error
        raise SigningError("the CA's key does not verify the certificate") from error
