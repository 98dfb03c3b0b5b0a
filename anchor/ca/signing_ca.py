"""A CA that signs, with one or two generations of its certificate and key."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from anchor.ca import chain
from anchor.ca.backends import Signer, always_ready
from anchor.ca.expiry import ExpiryMonitor
from anchor.ca.profile import Profile
from anchor.ca.template import CertificateTemplate, build_template
from anchor.errors import AnchorError, SigningError
from anchor.store.certificate_files import Store
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.parse_errors import MALFORMED
from anchor.X509.signing_request import X509Csr


@dataclass(frozen=True)
class Generation:
    """A certificate of a CA, and the signer with its key.

    Attributes:
        since: when the CA starts to use it, in UTC.
        ca: the certificate.
        signer: the signer; None if the CA was loaded without its key.
    """

    since: datetime.datetime
    ca: CACertificate
    signer: Signer | None


class SignedCertificate(NamedTuple):
    """A certificate that was signed and verified, and the CA certificate that issued it."""

    certificate: x509.Certificate
    ca: CACertificate


@dataclass(frozen=True)
class SigningCA:
    """A CA that can sign, or that was loaded without its key.

    Attributes:
        generations: at least one, in the order of their start.
    """

    name: str
    generations: tuple[Generation, ...]
    profile: Profile
    store: Store
    expiry_monitor: ExpiryMonitor

    def at(self, now: datetime.datetime) -> CACertificate:
        """The certificate that the CA uses at this time."""
        return self._generation(now).ca

    def trust_bundle(self, now: datetime.datetime) -> tuple[CACertificate, ...]:
        """The certificates for a trust store at this time.

        The current one comes first, then future ones, then former ones that have not expired.
        """
        current = self._generation(now)
        others = sorted(
            (
                generation
                for generation in self.generations
                if generation is not current
                and now <= generation.ca.certificate.not_valid_after_utc
            ),
            key=lambda generation: generation.since <= now,
        )
        return (current.ca, *(generation.ca for generation in others))

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether a generation of the CA has signed a certificate; its validity is not checked."""
        return self.issuer_of(certificate) is not None

    def issuer_of(self, certificate: x509.Certificate) -> CACertificate | None:
        """The generation of the CA that has signed a certificate; None if none has."""
        return next(
            (each.ca for each in self.generations if _is_issuer(each.ca.certificate, certificate)),
            None,
        )

    def public_keys(self) -> frozenset[bytes]:
        """The keys of all generations and their chains, as SubjectPublicKeyInfo."""
        return frozenset().union(*(each.ca.public_keys() for each in self.generations))

    def build_template(self, csr: X509Csr, now: datetime.datetime) -> CertificateTemplate:
        """Build the certificate for an approved request without signing it; needs no key.

        Raises:
            SigningError: the certificate cannot be built.
        """
        try:
            return build_template(csr, self.at(now), self.profile, now)
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} failed") from error

    def ready(self, now: datetime.datetime) -> None:
        """Require that the CA can sign now, as far as its backend can tell.

        Raises:
            AnchorError: the CA cannot sign.
        """
        signer = self._generation(now).signer
        if signer is None:
            raise SigningError(f"the signing CA {self.name!r} was loaded without its key")
        try:
            getattr(signer, "ready", always_ready)()
        except AnchorError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} is not ready") from error

    def may_issue_intermediates(self) -> bool:
        """True if the path lengths of the CA and its chain allow an intermediate CA."""
        # RFC 5280 4.2.1.9: the number of CAs that may follow, including the new one.
        return all(
            (length := chain.path_length(certificate)) is None or length > following
            for generation in self.generations
            for following, certificate in enumerate(
                (generation.ca.certificate, *generation.ca.chain)
            )
        )

    def issue(
        self, csr: X509Csr, now: datetime.datetime, *, validity: datetime.timedelta | None = None
    ) -> SignedCertificate:
        """Sign the certificate for an approved request and verify it.

        Args:
            csr: the request.
            now: the time, in UTC.
            validity: how long it is valid, if that is shorter than the profile says.

        Raises:
            SigningError: the certificate cannot be signed, or is not what was approved.
        """
        generation = self._generation(now)
        if generation.signer is None:
            raise SigningError(f"the signing CA {self.name!r} was loaded without its key")
        self.expiry_monitor.remind(now)
        profile = self.profile
        if validity is not None and validity < profile.validity:
            profile = dataclasses.replace(profile, validity=validity)
        try:
            certificate = generation.signer.issue(csr, generation.ca, profile, now)
        except SigningError:
            raise
        except (Exception, SystemExit) as error:
            raise SigningError(f"the signing CA {self.name!r} failed to sign") from error
        return SignedCertificate(certificate, generation.ca)

    def _generation(self, now: datetime.datetime) -> Generation:
        started = [each for each in self.generations if each.since <= now]
        return started[-1] if started else self.generations[0]


def _is_issuer(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *MALFORMED):
        return False
    return True
