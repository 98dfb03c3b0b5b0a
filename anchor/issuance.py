"""From an approved request and a CA's profile to a certificate (RFC 5280).

A certificate is built here and nowhere else; a signing backend only signs.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor import signatures
from anchor.enforced import REPLACED, TAKEN_OVER
from anchor.errors import SigningError
from anchor.signatures import CAPublicKey
from anchor.X509.signing_request import Extension, X509Csr

LOG = logging.getLogger(__name__)

SigningHash = hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512

SECOND = datetime.timedelta(seconds=1)


@dataclass(frozen=True)
class Profile:
    """What a CA decides about every certificate.

    Attributes:
        validity: how long a certificate is valid, counted from the moment of issue.
        backdate: how much before that moment notBefore lies, for clocks that lag.
        floor: the least validity that is worth issuing when the CA itself is about to end.
        signing_hash: the hash for signatures with keys that take one.
    """

    validity: datetime.timedelta
    backdate: datetime.timedelta
    floor: datetime.timedelta
    signing_hash: SigningHash


@dataclass(frozen=True)
class CACertificate:
    """A CA's certificate with what every certificate that it issues needs of it.

    Attributes:
        certificate: the CA's own certificate.
        chain: what leads from it to a root, its issuer first; empty for a root.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    public_key: CAPublicKey
    key_identifier: x509.AuthorityKeyIdentifier
    not_after: datetime.datetime

    @classmethod
    def of(
        cls, certificate: x509.Certificate, chain: tuple[x509.Certificate, ...]
    ) -> CACertificate:
        """Work out the rest."""
        public_key = certificate.public_key()
        if not isinstance(public_key, CAPublicKey):
            raise SigningError("the CA has a key that cannot sign certificates")
        return cls(
            certificate,
            chain,
            public_key,
            authority_key_identifier(certificate),
            min(link.not_valid_after_utc for link in (certificate, *chain)),
        )

    def public_keys(self) -> frozenset[bytes]:
        """The keys of the CA and its chain, as SubjectPublicKeyInfo."""
        return frozenset(
            link.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for link in (self.certificate, *self.chain)
        )


class Blank(NamedTuple):
    """Everything that a certificate will say, before it is signed."""

    subject: x509.Name
    issuer: x509.Name
    csr: X509Csr
    serial_number: int
    not_before: datetime.datetime
    not_after: datetime.datetime
    extensions: tuple[Extension, ...]

    def sign(
        self, key: CertificateIssuerPrivateKeyTypes, signing_hash: SigningHash
    ) -> x509.Certificate:
        """The certificate, signed with the CA's key."""
        # All at once: each of the builder's methods copies it, which together costs as much as a
        # signature with P-256.  What they check is so by construction, and read back besides.
        builder = x509.CertificateBuilder(
            self.issuer,
            self.subject,
            self.csr.public_key,
            self.serial_number,
            self.not_before,
            self.not_after,
            list(self.extensions),
        )
        takes_no_hash = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(key, None if takes_no_hash else signing_hash)


def fill_in(csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime) -> Blank:
    """What the certificate for an approved request will say.

    Args:
        csr: the request; its subject, key, names and usages are taken over, nothing else.
        ca: the issuer.
        profile: what the issuer decides by itself.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: the CA ends too soon to issue anything worthwhile.
    """
    moment = now.replace(microsecond=0)
    return Blank(
        subject=csr.subject,
        issuer=ca.certificate.subject,
        csr=csr,
        # RFC 5280 4.1.2.2: at most 20 octets; 159 random bits leave room for the sign.
        serial_number=x509.random_serial_number(),
        not_before=moment - profile.backdate,
        not_after=_not_after(moment, ca, profile),
        extensions=_extensions(csr, ca),
    )


def _not_after(moment: datetime.datetime, ca: CACertificate, profile: Profile) -> datetime.datetime:
    # RFC 5280 4.1.2.5: notAfter is the last second of the validity, not the first one after it.
    wanted = moment + profile.validity - SECOND
    if wanted <= ca.not_after:
        return wanted
    left = ca.not_after - moment + SECOND
    if left < profile.floor:
        raise SigningError(
            f"the CA, or its chain, ends at {ca.not_after:%Y-%m-%dT%H:%M:%SZ}, which leaves less "
            f"than the {profile.floor} that a certificate has to be valid for: replace the CA"
        )
    LOG.warning(
        "the certificate is cut to the end of the CA at %s: replace the CA",
        ca.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    return ca.not_after


def _extensions(csr: X509Csr, ca: CACertificate) -> tuple[Extension, ...]:
    constraints = csr.extension(x509.BasicConstraints)
    # The enforced rules let a CA through for an authority that signs nothing else.
    intermediate = constraints is not None and constraints.value.ca
    extensions: list[Extension] = [
        _extension(x509.BasicConstraints(intermediate, 0 if intermediate else None), True),
        _extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key), False),
        _extension(ca.key_identifier, False),
    ]
    for wanted in csr.extensions:
        if wanted.oid in TAKEN_OVER:
            extensions.append(_extension(wanted.value, _is_critical(wanted, csr)))
    if intermediate and csr.extension(x509.KeyUsage) is None:
        extensions.append(_extension(INTERMEDIATE_USAGE, True))
    return tuple(extensions)


# RFC 5280 4.2.1.3: a certificate whose key signs certificates must say so.
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


def _is_critical(wanted: Extension, csr: X509Csr) -> bool:
    if isinstance(wanted.value, x509.SubjectAlternativeName):
        # RFC 5280 4.2.1.6: critical exactly when the subject is empty.
        return not csr.subject_attributes
    if isinstance(wanted.value, x509.KeyUsage):
        return True
    return wanted.critical


def _extension(value: x509.ExtensionType, critical: bool) -> Extension:
    return x509.Extension(value.oid, critical, value)


def left_out(csr: X509Csr) -> tuple[str, ...]:
    """The extensions of a request that its certificate will not have, as dotted OIDs."""
    return tuple(
        extension.oid.dotted_string
        for extension in csr.extensions
        if extension.oid not in TAKEN_OVER | REPLACED
    )


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
            ("subject", certificate.subject == blank.subject),
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
    wanted = {extension.oid: extension for extension in _extensions(csr, ca)}
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


def authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """RFC 5280 4.2.1.1: the CA's own subjectKeyIdentifier, so that a chain can be found."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]  # the kinds that cannot sign are refused at start-up
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
