"""The API of the service: send a request, verify and return the certificate."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client import acceptance, renewal_proof, schedule
from anchor.client.acceptance import OutsideValidity, Unacceptable
from anchor.client.answers import clock_error, parse_json, printable, renew_after, sentence_of
from anchor.client.credentials import Credentials
from anchor.client.errors import (
    ClientError,
    CredentialsRefused,
    Refused,
    Unavailable,
    WrongAddress,
    WrongClock,
)
from anchor.client.issued import IssuedCertificate
from anchor.client.transport import Reply, Transport
from anchor.X509.parse_errors import MALFORMED

_MAX_CHAIN = 10

# The service accepts a proof from a clock that is up to a minute ahead.
_PROOF_SKEW = 30.0


@dataclass(frozen=True)
class Service:
    """A registration authority of a service.

    Attributes:
        transport: the connection to the service.
        authority: the name of the registration authority.
        issuers: the CAs that may issue certificates; None for the CAs of the service.
        clock: returns the time in seconds since the epoch.
    """

    transport: Transport
    authority: str
    issuers: tuple[x509.Certificate, ...] | None = None
    clock: Callable[[], float] = time.time

    def sign(
        self,
        csr: x509.CertificateSigningRequest,
        credentials: Credentials,
        previous: x509.Certificate | None = None,
    ) -> IssuedCertificate:
        """Request a certificate and check it against the request.

        Args:
            csr: the request.
            credentials: the requester's credentials.
            previous: the certificate that the new one replaces; its CA is trusted.

        Raises:
            Refused: the service rejected the request.
            Misconfigured: the service rejected the credentials, or has no such authority.
            WrongClock: the certificate is not valid by this machine's clock, which is wrong.
            Unavailable: there is no answer, or a certificate that fails a check.
        """
        reply = self._post("sign", csr, user=credentials.user, secret=credentials.secret)
        if reply.status != 200:
            raise self._problem(reply)
        return self._accept(reply, csr, previous)

    def renew(
        self,
        csr: x509.CertificateSigningRequest,
        certificate: x509.Certificate,
        key: CertificateIssuerPrivateKeyTypes,
    ) -> IssuedCertificate:
        """Request the next certificate with the one in hand, and check it as :meth:`sign` does.

        Args:
            csr: the request.
            certificate: the certificate to renew.
            key: its private key, of a kind with an algorithm of JOSE.

        Raises:
            CredentialsRefused: the service rejected the certificate.
            WrongAddress: the service renews no certificates, or has no such authority.
            ClientError: as :meth:`sign`.
        """
        url = self.transport.url.joined(self._path("renew"))

        def post(now: float) -> Reply:
            proof = renewal_proof.make_proof(
                certificate=certificate, key=key, csr=csr, url=url, now=now
            )
            return self._post("renew", csr, proof=proof)

        reply = post(self.clock())
        if reply.status == 401 and reply.date and abs(self._offset(reply) or 0) > _PROOF_SKEW:
            # The proof was too old or too new by the clock of the service.
            reply = post(reply.date)
        if reply.status == 404:
            raise WrongAddress(
                f"{self.transport.url.text} does not renew certificates of the authority "
                f"{self.authority!r}: {sentence_of(reply)}",
                reply.retry_after,
            )
        if reply.status != 200:
            raise self._problem(reply, "the certificate")
        return self._accept(reply, csr, certificate)

    def _path(self, door: str) -> str:
        return f"/v1/{door}/{quote(self.authority, safe='')}"

    def _post(self, door: str, csr: x509.CertificateSigningRequest, **fields: str) -> Reply:
        form = {
            **fields,
            "encoding": "pem",
            "csr": csr.public_bytes(Encoding.PEM).decode("ascii"),
        }
        return self.transport.exchange(
            "POST",
            self._path(door),
            urlencode(form).encode("ascii"),
            "application/x-www-form-urlencoded",
        )

    def _accept(
        self,
        reply: Reply,
        csr: x509.CertificateSigningRequest,
        previous: x509.Certificate | None,
    ) -> IssuedCertificate:
        """The certificate in an answer, after the checks."""
        answer = self._answer(reply)
        certificate = self._certificate(answer.get("certificate"))
        chain = self._chain(answer.get("chain"))
        try:
            now = datetime.datetime.fromtimestamp(self.clock(), datetime.UTC)
            acceptance.check(certificate, chain, csr, now)
        except OutsideValidity as error:
            if clock_error := self._clock_error(reply):
                raise WrongClock(f"{clock_error}; it answered {error}") from None
            # Without the service's time, retry seldom: each try issues another certificate.
            later = None if reply.date else schedule.LONGEST_WAIT
            raise self._invalid_answer(f"it answered {error}", later) from None
        except Unacceptable as error:
            raise self._invalid_answer(f"it answered {error}") from None
        except MALFORMED as error:
            raise self._invalid_answer("its answer does not hold a certificate") from error
        self._check_issuer(chain, previous)
        return IssuedCertificate(
            certificate,
            chain,
            renew_after(answer.get("renew_after"), certificate),
            self._clock_error(reply),
        )

    def clock_offset(self) -> float | None:
        """The seconds by which this machine's clock is ahead of the service's; None if unknown.

        Raises:
            Unavailable: there is no answer.
        """
        return self._offset(self.transport.exchange("GET", self._path("ca")))

    def _offset(self, reply: Reply) -> float | None:
        return None if reply.date is None else self.clock() - reply.date

    def _clock_error(self, reply: Reply) -> str:
        """A sentence about this machine's clock if it is wrong; empty if right or unknown."""
        offset = self._offset(reply)
        if offset is None or abs(offset) <= acceptance.MAX_SKEW.total_seconds():
            return ""
        return clock_error(offset, self.transport.url.text)

    def ca(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificate and its chain to a root; raises the errors of :meth:`sign`."""
        answer = self._get(self._path("ca"))
        certificate = self._certificate(answer.get("certificate"))
        chain = self._chain(answer.get("chain"))
        issued = certificate
        for link in chain:
            try:
                issued.verify_directly_issued_by(link)
            except (InvalidSignature, *MALFORMED) as error:
                raise self._invalid_answer("it answered a chain that does not fit") from error
            issued = link
        return (certificate, *chain)

    def _check_issuer(
        self, chain: Sequence[x509.Certificate], previous: x509.Certificate | None
    ) -> None:
        """Raise Unavailable unless the chain leads to a trusted CA."""
        issuer = ascii(chain[0].subject.rfc4514_string()[:200])
        if self.issuers is not None:
            if acceptance.leads_to(chain, self.issuers):
                return
            raise self._invalid_answer(
                f"it answered a certificate by {issuer}, not in issuer_ca_file"
            )
        if previous is not None and acceptance.has_same_ca(previous, chain):
            return
        try:
            trusted = self.bundle()
        except ClientError as error:
            if previous is None:
                # Trust on first use: there is no certificate yet that could be lost.
                return
            raise self._invalid_answer(
                f"it answered a certificate by {issuer}, another CA than before, and did not "
                f"confirm it: {error}"
            ) from error
        if not acceptance.leads_to(chain, trusted):
            raise self._invalid_answer(
                f"it answered a certificate by {issuer}, which is not its CA {self.authority!r}"
            )

    def bundle(self) -> tuple[x509.Certificate, ...]:
        """The current, next and previous CA; raises the errors of :meth:`sign`."""
        answer = self._get(f"{self._path('ca')}?bundle=1")
        others = answer.get("bundle", [])
        if not isinstance(others, list) or len(others) > _MAX_CHAIN:
            raise self._invalid_answer("its answer does not hold a bundle")
        return tuple(self._certificate(pem) for pem in [answer.get("certificate"), *others])

    def _get(self, path: str) -> Mapping[str, Any]:
        reply = self.transport.exchange("GET", path)
        if reply.status != 200:
            raise self._problem(reply)
        return self._answer(reply)

    def _answer(self, reply: Reply) -> Mapping[str, Any]:
        answer = parse_json(reply)
        if answer is None:
            raise self._invalid_answer("its answer is not that of Anchor")
        return answer

    def _problem(self, reply: Reply, presented: str = "the credentials") -> ClientError:
        """The error for an answer that is not a success."""
        sentence = sentence_of(reply)
        url, later = self.transport.url.text, reply.retry_after
        if reply.status in (401, 403):
            return CredentialsRefused(f"{url} refused {presented}: {sentence}", later)
        if reply.status == 404:
            return WrongAddress(f"{url} has no authority {self.authority!r}: {sentence}", later)
        if 300 <= reply.status < 400:
            target = printable(reply.location)
            return WrongAddress(f"{url} redirects to {target!r}; write that into the URL", later)
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            # An error of a proxy, such as 413, has no sentence from Anchor.
            return Refused(sentence, later)
        return Unavailable(f"{url} is not available: {sentence}", later)

    def _certificate(self, pem: object) -> x509.Certificate:
        try:
            if not isinstance(pem, str):
                raise TypeError
            (certificate,) = x509.load_pem_x509_certificates(pem.encode("ascii"))
            certificate.public_key()
            tuple(certificate.extensions)
        except MALFORMED as error:
            raise self._invalid_answer("its answer does not hold a certificate") from error
        return certificate

    def _chain(self, chain: object) -> tuple[x509.Certificate, ...]:
        """The certificates of a chain, not verified yet."""
        if not isinstance(chain, list) or len(chain) > _MAX_CHAIN:
            raise self._invalid_answer("its answer does not hold a chain")
        return tuple(self._certificate(link) for link in chain)

    def _invalid_answer(self, reason: str, retry_after: float | None = None) -> Unavailable:
        return Unavailable(f"{self.transport.url.text} is not in order: {reason}", retry_after)
