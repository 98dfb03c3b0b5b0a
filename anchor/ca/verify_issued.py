"""Whether a signed certificate says what was approved, and nothing else, before it leaves."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor.ca import template
from anchor.ca.blank import VERSION_3, CertificateTemplate
from anchor.ca.frame import Proved
from anchor.ca.template import Profile
from anchor.errors import SigningError
from anchor.policy.mandatory_checks import EXPECTED, TAKEN_OVER
from anchor.X509 import der, signatures
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.parse_errors import without_length_warnings
from anchor.X509.signatures import SigningHash, Verification
from anchor.X509.signing_request import Extension, X509Csr


def verify_issued(octets: bytes, blank: CertificateTemplate, ca: CACertificate) -> x509.Certificate:
    """The certificate in the octets that will be handed out, if it says what was approved.

    Args:
        octets: the certificate in DER.
        blank: what it should say, and nothing else.
        ca: who should have signed it.

    Raises:
        SigningError: with the names of the fields that differ.
    """
    certificate = x509.load_der_x509_certificate(octets)
    # Of another length, the serial number makes other lengths of what it is in.
    place = (Proved, ca, blank.serial_number.bit_length() // 8)
    proved: Proved | None = blank.csr.notes.get(place)
    if proved is not None and (signed := proved.like(octets, blank)) is not None:
        # To the octet what was proved before, but for what is this one's own.
        _hold(proved.verify, certificate, signed)
        _refuse(_differing_of_its_own(certificate, blank))
        return certificate
    signed = der.signed_part(octets) or certificate.tbs_certificate_bytes
    if not _names_issuer(signed, blank, ca):
        _require_issuer(certificate, ca)
    verify = _verify_signature(certificate, signed, ca)
    with without_length_warnings(octets):
        _require_contents(certificate, blank)
    blank.csr.notes[place] = Proved(octets, signed, blank, verify)
    return certificate


def _names_issuer(signed: bytes, blank: CertificateTemplate, ca: CACertificate) -> bool:
    """Whether the CA's name stands in its place, to the octet.

    If not, it may be written in another way: the library has to compare.
    """
    number = blank.serial_number_octets()
    before = der.LONG_HEADER + len(VERSION_3)
    at = before + len(number)
    return (
        signed.startswith(der.LONG)
        and signed.startswith(VERSION_3 + number, before - len(VERSION_3))
        # The length of the signature's algorithm, which is of one octet.
        and signed[at + 1] < 0x80
        and signed.startswith(ca.name, at + 2 + signed[at + 1])
    )


def _require_contents(certificate: x509.Certificate, blank: CertificateTemplate) -> None:
    in_common = (
        ("version", certificate.version is x509.Version.v3),
        ("subject", certificate.subject == blank.csr.subject),
        ("public key", certificate.public_key() == blank.csr.public_key),
        ("extensions", tuple(certificate.extensions) == blank.extensions),
    )
    _refuse(
        [name for name, agrees in in_common if not agrees]
        + _differing_of_its_own(certificate, blank)
    )


def _differing_of_its_own(certificate: x509.Certificate, blank: CertificateTemplate) -> list[str]:
    """The fields that no other certificate for the request has, as far as they differ."""
    its_own = (
        ("serial number", certificate.serial_number == blank.serial_number),
        ("not before", certificate.not_valid_before_utc == blank.not_before),
        ("not after", certificate.not_valid_after_utc == blank.not_after),
    )
    return [name for name, agrees in its_own if not agrees]


def _refuse(differing: list[str]) -> None:
    if differing:
        raise SigningError(f"the signed certificate differs from what was approved: {differing}")


def verify_external(
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
    _require_issuer(certificate, ca)
    _verify_signature(certificate, certificate.tbs_certificate_bytes, ca)
    wanted = {extension.oid: extension for extension in template.extensions(csr, ca)}
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


def _require_issuer(certificate: x509.Certificate, ca: CACertificate) -> None:
    if certificate.issuer != ca.certificate.subject:
        raise SigningError("the certificate is not issued in the CA's name")


def _verify_signature(
    certificate: x509.Certificate, signed: bytes, ca: CACertificate
) -> Verification:
    """Return, if the CA has signed it, how that was verified."""
    try:
        verify = signatures.verification(
            ca.public_key,
            certificate.signature_algorithm_parameters,
            certificate.signature_hash_algorithm,
        )
    except (UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise SigningError("the CA's key does not verify the certificate") from error
    _hold(verify, certificate, signed)
    return verify


def _hold(verify: Verification, certificate: x509.Certificate, signed: bytes) -> None:
    """Return if the signature is right."""
    try:
        verify(certificate.signature, signed)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise SigningError("the CA's key does not verify the certificate") from error
