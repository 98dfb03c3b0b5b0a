"""From an approved request and a CA's profile to a certificate (RFC 5280).

What a certificate says is decided here and nowhere else; a signing backend only signs.
"""

from __future__ import annotations

import datetime
import functools
import logging
from collections import Counter
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from anchor.ca.blank import CertificateTemplate
from anchor.errors import SigningError
from anchor.policy.mandatory_checks import EXPECTED, TAKEN_OVER
from anchor.timestamps import timestamp
from anchor.X509.attribute_names import describe_attribute
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.notes import noted
from anchor.X509.signatures import SigningHash
from anchor.X509.signing_request import Extension, X509Csr

LOG = logging.getLogger(__name__)

SECOND = datetime.timedelta(seconds=1)


@dataclass(frozen=True, eq=False)
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


def build_template(
    csr: X509Csr, ca: CACertificate, profile: Profile, now: datetime.datetime
) -> CertificateTemplate:
    """What the certificate for an approved request will say.

    Args:
        csr: the request; its subject, key, names and usages are taken over, nothing else.
        ca: the issuer.
        profile: what the issuer decides by itself.
        now: the moment of issue, in UTC.

    Raises:
        SigningError: the CA ends too soon to issue anything worthwhile.
    """
    not_before, not_after = _validity(profile, int(now.timestamp()))
    return CertificateTemplate(
        issuer=ca,
        csr=csr,
        # RFC 5280 4.1.2.2: at most 20 octets; 159 random bits leave room for the sign.
        serial_number=x509.random_serial_number(),
        not_before=not_before,
        not_after=not_after if not_after <= ca.not_after else _cut(not_after, ca, profile),
        extensions=extensions(csr, ca),
    )


# Remembered, because arithmetic on times costs much, and the certificates of one second share them.
@functools.lru_cache(maxsize=64)
def _validity(profile: Profile, second: int) -> tuple[datetime.datetime, datetime.datetime]:
    """From when to when a certificate is valid that is issued then, in seconds since 1970."""
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC)
    # RFC 5280 4.1.2.5: notAfter is the last second of the validity, not the first one after it.
    return moment - profile.backdate, moment + profile.validity - SECOND


def _cut(wanted: datetime.datetime, ca: CACertificate, profile: Profile) -> datetime.datetime:
    """The end of a certificate that would outlive its CA."""
    left = profile.validity - (wanted - ca.not_after)
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
    place = (extensions, ca)
    known: tuple[Extension, ...] | None = csr.notes.get(place)
    if known is None:
        known = csr.notes[place] = tuple(_extensions(csr, ca))
    return known


def _extensions(csr: X509Csr, ca: CACertificate) -> list[Extension]:
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
    return found


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


@noted
def left_out(csr: X509Csr) -> tuple[str, ...]:
    """The extensions of a request that its certificate will not have, as dotted OIDs."""
    return tuple([each.oid.dotted_string for each in csr.extensions if each.oid not in EXPECTED])


MAX_LISTED = 20


def dropped_attributes(submitted: X509Csr, approved: X509Csr) -> tuple[str, ...]:
    """The attributes of the submitted subject, besides common names, that were left out.

    Each is cut to a short text, and only the first few are listed.
    """
    if submitted.subject is approved.subject:
        return ()
    kept = Counter((attribute.oid, attribute.value) for attribute in approved.subject_attributes)
    dropped = []
    for attribute in submitted.subject_attributes:
        if kept[attribute.oid, attribute.value] > 0:
            kept[attribute.oid, attribute.value] -= 1
        elif attribute.oid != NameOID.COMMON_NAME:
            dropped.append(describe_attribute(attribute))
    more = len(dropped) - MAX_LISTED
    return (*dropped[:MAX_LISTED], *((f"and {more} more",) if more > 0 else ()))
