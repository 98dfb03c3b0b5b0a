"""A certificate before it is signed (RFC 5280 section 4.1).

This module alone decides what a certificate contains; a signing backend only signs it.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from anchor.ca.profile import Profile
from anchor.errors import SigningError
from anchor.policy.mandatory_checks import TAKEN_OVER
from anchor.timestamps import timestamp
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signatures import SigningHash
from anchor.X509.signing_request import Extension, X509Csr

LOG = logging.getLogger(__name__)

SECOND = datetime.timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CertificateTemplate:
    """The contents of a certificate, except its signature.

    Attributes:
        issuer: the CA's certificate.
        csr: the approved request, with the subject and the key.
        extensions: the extensions, in their order.
    """

    issuer: CACertificate
    csr: X509Csr
    serial_number: int
    not_before: datetime.datetime
    not_after: datetime.datetime
    extensions: tuple[Extension, ...]

    def sign(
        self, key: CertificateIssuerPrivateKeyTypes, signing_hash: SigningHash
    ) -> x509.Certificate:
        """Sign the certificate with the CA's key; Ed25519 and Ed448 keys ignore the hash."""
        builder = (
            # Adding the extensions one by one would copy the builder for each.
            x509.CertificateBuilder(extensions=list(self.extensions))
            .issuer_name(self.issuer.subject)
            .subject_name(self.csr.subject)
            .public_key(self.csr.public_key)
            .serial_number(self.serial_number)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )
        takes_no_hash = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(key, None if takes_no_hash else signing_hash)


def build_template(
    csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
) -> CertificateTemplate:
    """Build the certificate for an approved request.

    Args:
        csr: the request; only its subject, key, names and usages are copied.
        ca: the issuer.
        profile: the values that the CA sets.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: the CA expires too soon.
    """
    # RFC 5280 4.1.2.5: times in certificates are whole seconds.
    moment = now.replace(microsecond=0)
    # RFC 5280 4.1.2.5: notAfter is inclusive.
    not_after = moment + profile.validity - SECOND
    return CertificateTemplate(
        issuer=ca,
        csr=csr,
        # RFC 5280 4.1.2.2: at most 20 octets; 159 random bits leave room for the sign.
        serial_number=x509.random_serial_number(),
        not_before=moment - profile.backdate,
        not_after=not_after if not_after <= ca.not_after else _shortened(not_after, ca, profile),
        extensions=tuple(certificate_extensions(csr, ca)),
    )


def _shortened(
    not_after: datetime.datetime, ca: CACertificate, profile: Profile
) -> datetime.datetime:
    """The CA's notAfter, for a certificate that would outlive the CA."""
    left = profile.validity - (not_after - ca.not_after)
    if left < profile.min_validity:
        raise SigningError(
            f"the CA, or its chain, ends at {timestamp(ca.not_after)}, which leaves "
            f"less than the {profile.min_validity} that a certificate has to be valid for: "
            "replace the CA"
        )
    LOG.warning(
        "the certificate is cut to the end of the CA at %s: replace the CA",
        timestamp(ca.not_after),
    )
    return ca.not_after


def certificate_extensions(csr: X509Csr, ca: CACertificate) -> list[Extension]:
    """The extensions of the certificate for an approved request, in their order."""
    constraints = csr.extension(x509.BasicConstraints)
    # The mandatory checks accept a CA only if the authority signs intermediate CAs only.
    intermediate = constraints is not None and constraints.value.ca
    extensions: list[Extension] = [
        _extension(x509.BasicConstraints(intermediate, 0 if intermediate else None), True),
        _extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key), False),
        _extension(ca.key_identifier, False),
    ]
    for requested in csr.extensions:
        if requested.oid in TAKEN_OVER:
            extensions.append(_extension(requested.value, _is_critical(requested, csr)))
    if intermediate and csr.extension(x509.KeyUsage) is None:
        extensions.append(_extension(INTERMEDIATE_USAGE, True))
    return extensions


# RFC 5280 4.2.1.3: a certificate whose key signs certificates has keyUsage.
INTERMEDIATE_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _is_critical(requested: Extension, csr: X509Csr) -> bool:
    if isinstance(requested.value, x509.SubjectAlternativeName):
        # RFC 5280 4.2.1.6: critical exactly when the subject is empty.
        return not csr.subject_attributes
    if isinstance(requested.value, x509.KeyUsage):
        return True
    return requested.critical


def _extension(value: x509.ExtensionType, critical: bool) -> Extension:
    return x509.Extension(value.oid, critical, value)
