"""The credentials of a renewal: the certificate in hand, then the secret."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from anchor.client import acceptance, renewal_proof
from anchor.client.acceptance import Unacceptable
from anchor.client.configuration import Client
from anchor.client.errors import (
    ClientError,
    CredentialsRefused,
    Misconfigured,
    NoCredentials,
    Refused,
    WrongAddress,
    WrongClock,
)
from anchor.client.issued import IssuedCertificate
from anchor.client.outcome import format_time
from anchor.X509.parse_errors import MALFORMED

# Another credential may help against these; not against a service that is not available.
_REFUSALS = (Refused, CredentialsRefused, WrongAddress)


@dataclass(frozen=True)
class HeldCertificate:
    """The certificate to renew.

    Attributes:
        certificate: the certificate.
        key: its private key; None if it cannot be used.
        why_no_key: the reason in that case.
    """

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes | None = field(repr=False)
    why_no_key: str = ""


@dataclass(frozen=True)
class CertificateRenewal:
    """The renewal of one certificate, with the credentials that there are.

    A certificate in force is tried before the secret, and an expired one after it: only a service
    with a grace accepts it.

    Attributes:
        client: the configured service.
        csr: the request for the new certificate.
        held: the certificate to renew.
        authority: the registration authority; None for the configured one.
        clock: returns the time in seconds since the epoch.
    """

    client: Client
    csr: x509.CertificateSigningRequest
    held: HeldCertificate
    authority: str | None = None
    clock: Callable[[], float] = time.time

    def run(self) -> IssuedCertificate:
        """Request the new certificate.

        Raises:
            ClientError: there is none; the text has the reason of each refusal.
        """
        if not self.client.renew_with_certificate:
            return self._with_secret()
        if reason := self._obstacle():
            return self._with_secret(reason)
        end = self.held.certificate.not_valid_after_utc
        if end.timestamp() <= self.clock():
            return self._expired(f"the certificate expired at {format_time(end)}")
        try:
            return self._with_certificate()
        except _REFUSALS as error:
            return self._with_secret(str(error), error)

    def _obstacle(self) -> str:
        """Why the certificate is of no use for the request; empty if it may be of use."""
        if self.held.key is None:
            return self.held.why_no_key
        if renewal_proof.algorithm_of(self.held.key) is None:
            return "JOSE has no algorithm for the key of the certificate"
        try:
            acceptance.check_names(self.held.certificate, self.csr)
        except Unacceptable as error:
            return f"the old certificate is {error}"
        except MALFORMED:
            return "the old certificate cannot be read"
        return ""

    def _expired(self, reason: str) -> IssuedCertificate:
        try:
            return self._with_secret(reason)
        except WrongClock:
            raise
        except Misconfigured as error:
            try:
                return self._with_certificate()
            except _REFUSALS:
                raise error from None

    def _with_certificate(self) -> IssuedCertificate:
        assert self.held.key is not None
        service = self.client.service(self.authority, self.clock)
        issued = service.renew(self.csr, self.held.certificate, self.held.key)
        return replace(issued, obtained_with="certificate")

    def _with_secret(
        self, reason: str = "", refusal: ClientError | None = None
    ) -> IssuedCertificate:
        """Request it with the secret.

        Args:
            reason: why the certificate is not used; empty if that is not of interest.
            refusal: the service's refusal of the certificate, if it was tried.
        """
        try:
            issued = self.client.sign(
                self.csr, self.held.certificate, authority=self.authority, clock=self.clock
            )
        except WrongClock:
            raise
        except NoCredentials as error:
            if isinstance(refusal, Refused):
                # A policy that refuses the request would refuse it with a secret too.
                raise refusal from None
            if not reason:
                raise
            text = f"{reason}; a new secret is needed, but {error}"
            raise NoCredentials(text, refusal.retry_after if refusal else None) from None
        except (Refused, Misconfigured) as error:
            if not reason or reason in str(error):
                raise
            text = f"{error}; the certificate was not accepted either: {reason}"
            raise type(error)(text, error.retry_after) from None
        return replace(issued, why_secret=reason)


def renewed_with(issued: IssuedCertificate) -> str:
    """A phrase that says with which credential a certificate was renewed, and why."""
    if not issued.why_secret:
        return f"renewed with the {issued.obtained_with}"
    return f"renewed with the secret ({issued.why_secret})"
