"""A CA that signs, from one generation of its certificate and key to the next."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509

from anchor.ca import chain
from anchor.ca.backends import Signer, always_ready
from anchor.ca.expiry import ExpiryMonitor
from anchor.ca.profile import Profile
from anchor.ca.template import CertificateTemplate, build_template
from anchor.errors import AnchorError, SigningError
from anchor.store.certificate_files import Store
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signing_request import X509Csr


@dataclass(frozen=True)
class Generation:
    """A CA's certificate, and what signs with its key.

    Attributes:
        since: the moment from which it is used, in UTC.
        ca: the certificate.
        signer: None if the CA was loaded without its key.
    """

    since: datetime.datetime
    ca: CACertificate
    signer: Signer | None


class SignedCertificate(NamedTuple):
    """A certificate that was signed and verified, and the CA that it was issued under."""

    certificate: x509.Certificate
    ca: CACertificate


@dataclass(frozen=True)
class SigningCA:
    """A CA that is ready to sign, or that was loaded without its key.

    Attributes:
        generations: in the order of their time; there is at least one.
    """

    name: str
    generations: tuple[Generation, ...]
    profile: Profile
    store: Store
    watch: ExpiryMonitor

    def at(self, now: datetime.datetime) -> CACertificate:
        """The CA's certificate that is used at a moment."""
        return self._generation(now).ca

    def trust_bundle(self, now: datetime.datetime) -> tuple[CACertificate, ...]:
        """The certificates that whoever trusts this CA should know at a moment.

        The one in use comes first, then those that will be, then those that were and have not
        expired.
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

    def public_keys(self) -> frozenset[bytes]:
        """The keys of all generations and their chains, as SubjectPublicKeyInfo."""
        return frozenset().union(*(each.ca.public_keys() for each in self.generations))

    def build_template(self, csr: X509Csr, now: datetime.datetime) -> CertificateTemplate:
        """What the certificate for an approved request would say; no key is needed for that.

        Raises:
            SigningError: there could be no such certificate.
        """
        try:
            return build_template(csr, self.at(now), self.profile, now)
        except SigningError:
            raise
        except Exception as error:
            raise SigningError(f"the signing CA {self.name!r} failed") from error

    def ready(self, now: datetime.datetime) -> None:
        """Return if the key that is used at a moment could sign, as far as its backend can tell.

        Raises:
            AnchorError: it could not.
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
        """Whether what an intermediate of this CA issues can be valid."""
        # RFC 5280 4.2.1.9: how many CAs may follow; the new one is the last of them.
        return all(
            (length := chain.path_length(link)) is None or length > between
            for generation in self.generations
            for between, link in enumerate((generation.ca.certificate, *generation.ca.chain))
        )

    def issue(self, csr: X509Csr, now: datetime.datetime) -> SignedCertificate:
        """Sign the certificate for an approved request.

        Raises:
            SigningError: it cannot be signed, or is not what was approved.
        """
        generation = self._generation(now)
        if generation.signer is None:
            raise SigningError(f"the signing CA {self.name!r} was loaded without its key")
        self.watch.remind(now)
        try:
            certificate = generation.signer.issue(csr, generation.ca, self.profile, now)
        except SigningError:
            raise
        except (Exception, SystemExit) as error:
            raise SigningError(f"the signing CA {self.name!r} failed to sign") from error
        return SignedCertificate(certificate, generation.ca)

    def _generation(self, now: datetime.datetime) -> Generation:
        started = [each for each in self.generations if each.since <= now]
        return started[-1] if started else self.generations[0]
