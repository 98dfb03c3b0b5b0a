"""From an approved request and a CA's profile to a certificate (RFC 5280).

What a certificate says is decided here and nowhere else; a signing backend only signs.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anchor.blank import Blank, SigningHash
from anchor.enforced import REPLACED, TAKEN_OVER
from anchor.errors import SigningError
from anchor.signatures import CAPublicKey
from anchor.timestamps import timestamp
from anchor.X509.signing_request import Extension, X509Csr

LOG = logging.getLogger(__name__)

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
        issuer=ca.certificate.subject,
        csr=csr,
        # RFC 5280 4.1.2.2: at most 20 octets; 159 random bits leave room for the sign.
        serial_number=x509.random_serial_number(),
        not_before=moment - profile.backdate,
        not_after=_not_after(moment, ca, profile),
        extensions=extensions(csr, ca),
    )


def _not_after(moment: datetime.datetime, ca: CACertificate, profile: Profile) -> datetime.datetime:
    # RFC 5280 4.1.2.5: notAfter is the last second of the validity, not the first one after it.
    wanted = moment + profile.validity - SECOND
    if wanted <= ca.not_after:
        return wanted
    left = ca.not_after - moment + SECOND
    if left < profile.floor:
        raise SigningError(
            f"the CA, or its chain, ends at {timestamp(ca.not_after)}, which leaves less "
            f"than the {profile.floor} that a certificate has to be valid for: replace the CA"
        )
    LOG.warning(
        "the certificate is cut to the end of the CA at %s: replace the CA",
        timestamp(ca.not_after),
    )
    return ca.not_after


def extensions(csr: X509Csr, ca: CACertificate) -> tuple[Extension, ...]:
    """The extensions of the certificate for an approved request, in their order."""
    constraints = csr.extension(x509.BasicConstraints)
    # The enforced rules let a CA through for an authority that signs nothing else.
    intermediate = constraints is not None and constraints.value.ca
    found: list[Extension] = [
        _extension(x509.BasicConstraints(intermediate, 0 if intermediate else None), True),
        _extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key), False),
        _extension(ca.key_identifier, False),
    ]
    for wanted in csr.extensions:
        if wanted.oid in TAKEN_OVER:
            found.append(_extension(wanted.value, _is_critical(wanted, csr)))
    if intermediate and csr.extension(x509.KeyUsage) is None:
        found.append(_extension(INTERMEDIATE_USAGE, True))
    return tuple(found)


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


def authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """RFC 5280 4.2.1.1: the CA's own subjectKeyIdentifier, so that a chain can be found."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.public_key())  # type: ignore[arg-type]  # the kinds that cannot sign are refused at start-up
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
