"""The API of the service: send a request, verify and return the certificate."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client import acceptance, schedule
from anchor.client.acceptance import OutsideValidity, Unacceptable
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
        form = {
            "user": credentials.user,
            "secret": credentials.secret,
            "encoding": "pem",
            "csr": csr.public_bytes(Encoding.PEM).decode("ascii"),
        }
        answer, reply = self._request_json(
            "POST",
            f"/v1/sign/{quote(self.authority, safe='')}",
            urlencode(form).encode("ascii"),
            "application/x-www-form-urlencoded",
        )
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
        renew_after = _renew_after(answer.get("renew_after"), certificate)
        return IssuedCertificate(certificate, chain, renew_after, self._clock_error(reply))

    def clock_offset(self) -> float | None:
        """The seconds by which this machine's clock is ahead of the service's; None if unknown.

        Raises:
            Unavailable: there is no answer.
        """
        path = f"/v1/ca/{quote(self.authority, safe='')}"
        return self._offset(self.transport.exchange("GET", path))

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
        answer, _ = self._request_json("GET", f"/v1/ca/{quote(self.authority, safe='')}")
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
        answer, _ = self._request_json("GET", f"/v1/ca/{quote(self.authority, safe='')}?bundle=1")
        others = answer.get("bundle", [])
        if not isinstance(others, list) or len(others) > _MAX_CHAIN:
            raise self._invalid_answer("its answer does not hold a bundle")
        return tuple(self._certificate(pem) for pem in [answer.get("certificate"), *others])

    def _request_json(
        self, method: str, path: str, body: bytes | None = None, media_type: str = ""
    ) -> tuple[Mapping[str, Any], Reply]:
        reply = self.transport.exchange(method, path, body, media_type)
        if reply.status != 200:
            raise self._problem(reply)
        answer = _json(reply)
        if answer is None:
            raise self._invalid_answer("its answer is not that of Anchor")
        return answer, reply

    def _problem(self, reply: Reply) -> Exception:
        """The error for an answer that is not a success."""
        sentence = _sentence(reply)
        url, later = self.transport.url.text, reply.retry_after
        if reply.status in (401, 403):
            return CredentialsRefused(f"{url} refused the credentials: {sentence}", later)
        if reply.status == 404:
            return WrongAddress(f"{url} has no authority {self.authority!r}: {sentence}", later)
        if 300 <= reply.status < 400:
            target = _printable(reply.location)
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


def clock_error(offset: float, url: str) -> str:
    """A sentence that says how far this machine's clock is ahead of the service's, or behind."""
    difference = datetime.timedelta(seconds=round(abs(offset)))
    direction = "ahead of" if offset > 0 else "behind"
    return f"this machine's clock is {difference} {direction} that of {url}: set it right"


def _json(reply: Reply) -> dict[str, Any] | None:
    if reply.media_type not in ("application/json", "application/problem+json"):
        return None
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _sentence(reply: Reply) -> str:
    """The error text of the service in one printable line; without one, the status."""
    problem = _json(reply)
    detail = problem.get("detail") if problem else None
    if isinstance(detail, str) and detail.strip():
        return _printable(detail)
    return f"status {reply.status}"


def _printable(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()[:2000]
    return line if line.isprintable() else ascii(line)[1:-1]


def _renew_after(value: object, certificate: x509.Certificate) -> datetime.datetime | None:
    """The renewal time, if it is valid and within the certificate's validity."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    life = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return moment.astimezone(datetime.UTC) if life[0] < moment < life[1] else None
