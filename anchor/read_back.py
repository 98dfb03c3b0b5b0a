"""Whether a signed certificate says what was approved, and nothing else, before it leaves."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor import issuance, signatures
from anchor.blank import Blank, SigningHash
from anchor.enforced import REPLACED, TAKEN_OVER
from anchor.errors import SigningError
from anchor.issuance import CACertificate, Profile
from anchor.X509.signing_request import Extension, X509Csr


def prove(certificate: x509.Certificate, blank: Blank, ca: CACertificate) -> None:
    """Return if the certificate says what was approved, and nothing else.

    Args:
        certificate: read back from the octets that will be handed out.
        blank: what it should say.
        ca: who should have signed it.

    Raises:
        SigningError: with the names of the fields that differ.
    """
    prove_issuer(certificate, ca)
    differing = [
        name
        for name, agrees in (
            ("version", certificate.version is x509.Version.v3),
            ("serial number", certificate.serial_number == blank.serial_number),
            ("subject", certificate.subject == blank.csr.subject),
            ("not before", certificate.not_valid_before_utc == blank.not_before),
            ("not after", certificate.not_valid_after_utc == blank.not_after),
            ("public key", certificate.public_key() == blank.csr.public_key),
            ("extensions", tuple(certificate.extensions) == blank.extensions),
        )
        if not agrees
    ]
    if differing:
        raise SigningError(f"the signed certificate differs from what was approved: {differing}")


def prove_foreign(
    certificate: x509.Certificate,
    csr: X509Csr,
    ca: CACertificate,
    profile: Profile,
    now: datetime.datetime,
) -> None:
    """Return if a certificate that was made elsewhere keeps the rules and says what was approved.

    Args:
        certificate: read from what a custom signing backend answered.
        csr: the approved request.
        ca: who should have signed it.
        profile: bounds its validity; a shorter one is the maker's to decide.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: with the names of the fields that are wrong.
    """
    prove_issuer(certificate, ca)
    wanted = {extension.oid: extension for extension in issuance.extensions(csr, ca)}
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
            ("subject", certificate.subject == csr.subject),
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
            *(
                (oid.dotted_string, not found[oid].critical)
                for oid in found
                if oid not in TAKEN_OVER | REPLACED
            ),
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


def prove_issuer(certificate: x509.Certificate, ca: CACertificate) -> None:
    """Return if the CA's key signed the certificate, in the CA's name.

    Raises:
        SigningError: it did not.
    """
    if certificate.issuer != ca.certificate.subject:
        raise SigningError("the certificate is not issued in the CA's name")
    try:
        signatures.verify(
            ca.public_key,
            certificate.signature,
            certificate.tbs_certificate_bytes,
            certificate.signature_algorithm_parameters,
            certificate.signature_hash_algorithm,
        )
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise SigningError("the CA's key does not verify the certificate") from error
