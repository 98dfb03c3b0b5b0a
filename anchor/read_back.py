"""Whether a signed certificate says what was approved, and nothing else, before it leaves."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from anchor import issuance, signatures
from anchor.blank import Blank
from anchor.enforced import EXPECTED, TAKEN_OVER
from anchor.errors import SigningError
from anchor.frame import Frame
from anchor.issuance import Profile
from anchor.issuer import CACertificate
from anchor.signatures import SigningHash
from anchor.X509.signing_request import Extension, X509Csr

# A SEQUENCE whose length takes two octets, so that its contents begin after four.
_LONG = b"\x30\x82"


def read_back(der: bytes, blank: Blank, ca: CACertificate) -> x509.Certificate:
    """The certificate in the octets that will be handed out, if it says what was approved.

    Args:
        der: the certificate.
        blank: what it should say, and nothing else.
        ca: who should have signed it.

    Raises:
        SigningError: with the names of the fields that differ.
    """
    certificate = x509.load_der_x509_certificate(der)
    # Of another length, the serial number makes other lengths of what it is in.
    place = (Frame, ca, blank.serial_number.bit_length() // 8)
    frame: Frame | None = blank.csr.notes.get(place)
    if frame is not None and _has_signed(der, expected := frame.around(blank)):
        # To the octet what was proved before, but for what is this one's own.
        _prove_signature(certificate, expected, ca)
        _refuse(_differing_of_its_own(certificate, blank))
        return certificate
    signed = _signed(der, certificate)
    _prove_issuer(certificate, signed, ca)
    _prove_contents(certificate, blank)
    blank.csr.notes[place] = Frame.of(signed, blank)
    return certificate


def _signed(der: bytes, certificate: x509.Certificate) -> bytes:
    """What has been signed; where it is long, as nearly always, it need not be encoded anew."""
    if der.startswith(_LONG) and der.startswith(_LONG, 4):
        return der[4 : 8 + int.from_bytes(der[6:8], "big")]
    return certificate.tbs_certificate_bytes


def _has_signed(der: bytes, expected: bytes) -> bool:
    """Whether that is what a certificate has signed: it stands behind four octets of header."""
    return der.startswith(_LONG) and der.startswith(expected, 4)


def _prove_contents(certificate: x509.Certificate, blank: Blank) -> None:
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


def _differing_of_its_own(certificate: x509.Certificate, blank: Blank) -> list[str]:
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
    _prove_issuer(certificate, certificate.tbs_certificate_bytes, ca)
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


def _prove_issuer(certificate: x509.Certificate, signed: bytes, ca: CACertificate) -> None:
    """Return if the CA's key signed the certificate, in the CA's name."""
    if certificate.issuer != ca.certificate.subject:
        raise SigningError("the certificate is not issued in the CA's name")
    _prove_signature(certificate, signed, ca)


def _prove_signature(certificate: x509.Certificate, signed: bytes, ca: CACertificate) -> None:
    try:
        signatures.verify(
            ca.public_key,
            certificate.signature,
            signed,
            certificate.signature_algorithm_parameters,
            certificate.signature_hash_algorithm,
        )
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise SigningError("the CA's key does not verify the certificate") from error
