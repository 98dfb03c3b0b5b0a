"""The service as a client sees it: a request goes in, a certificate for its very key comes out."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.client.credentials import Credentials
from anchor.client.errors import Misconfigured, Refused, Unavailable
from anchor.client.transport import Reply, Transport
from anchor.X509.parsing import MALFORMED

_MAX_CHAIN = 10


@dataclass(frozen=True)
class Certified:
    """A certificate that was checked against the request.

    Attributes:
        certificate: the certificate.
        chain: who issued it, and what leads from there to a root.
        renew_after: the time from which the service wants it renewed, if it said one that fits.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    renew_after: datetime.datetime | None

    @property
    def pem(self) -> bytes:
        """The certificate alone, in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The chain, in PEM."""
        return b"".join(link.public_bytes(Encoding.PEM) for link in self.chain)

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        """What a server presents: a root is left out, for clients have it or do not trust it."""
        return (self.certificate, *(link for link in self.chain if link.issuer != link.subject))

    @property
    def presented_pem(self) -> bytes:
        """The same, in PEM."""
        return b"".join(link.public_bytes(Encoding.PEM) for link in self.presented)


@dataclass(frozen=True)
class Service:
    """A registration authority of a service."""

    transport: Transport
    authority: str

    def sign(self, csr: x509.CertificateSigningRequest, credentials: Credentials) -> Certified:
        """The certificate for a request.

        Raises:
            Refused: the service does not want to certify it.
            Misconfigured: the service does not know the credentials, or the authority.
            Unavailable: the service gave no answer, or one that is no certificate for this key.
        """
        form = {
            "user": credentials.user,
            "secret": credentials.secret,
            "encoding": "pem",
            "csr": csr.public_bytes(Encoding.PEM).decode("ascii"),
        }
        answer = self._ask(
            "POST",
            f"/v1/sign/{quote(self.authority, safe='')}",
            urlencode(form).encode("ascii"),
            "application/x-www-form-urlencoded",
        )
        certificate = self._certificate(answer.get("certificate"))
        if certificate.public_key() != csr.public_key():
            raise self._confused("it answered a certificate for another key")
        chain = self._chain(answer.get("chain"), certificate)
        return Certified(certificate, chain, _renew_after(answer.get("renew_after"), certificate))

    def ca(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificate, and what leads from it to a root; raises as :meth:`sign` does."""
        answer = self._ask("GET", f"/v1/ca/{quote(self.authority, safe='')}")
        certificate = self._certificate(answer.get("certificate"))
        return (certificate, *self._chain(answer.get("chain"), certificate))

    def _ask(
        self, method: str, path: str, body: bytes | None = None, media_type: str = ""
    ) -> Mapping[str, Any]:
        reply = self.transport.exchange(method, path, body, media_type)
        if reply.status != 200:
            raise self._problem(reply)
        answer = _json(reply)
        if answer is None:
            raise self._confused("its answer is not that of Anchor")
        return answer

    def _problem(self, reply: Reply) -> Exception:
        """What an answer that is no success means to this machine."""
        sentence = _sentence(reply)
        where = self.transport.url.text
        if reply.status in (401, 403):
            return Misconfigured(f"{where} refused the credentials: {sentence}")
        if reply.status == 404:
            return Misconfigured(f"{where} has no authority {self.authority!r}: {sentence}")
        if 300 <= reply.status < 400:
            to = _printable(reply.location)
            return Misconfigured(f"{where} redirects to {to!r}; write that into the URL")
        if 400 <= reply.status < 500 and reply.status not in (408, 429):
            # A proxy's own 413 and the like come without Anchor's sentence.
            return Refused(sentence)
        return Unavailable(f"{where} is not available: {sentence}", reply.retry_after)

    def _certificate(self, pem: object) -> x509.Certificate:
        try:
            if not isinstance(pem, str):
                raise TypeError
            (certificate,) = x509.load_pem_x509_certificates(pem.encode("ascii"))
            certificate.public_key()
            tuple(certificate.extensions)
        except MALFORMED as error:
            raise self._confused("its answer does not hold a certificate") from error
        return certificate

    def _chain(self, chain: object, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """The links of a chain, each of which has issued the one before it."""
        if not isinstance(chain, list) or len(chain) > _MAX_CHAIN:
            raise self._confused("its answer does not hold a chain")
        links = tuple(self._certificate(link) for link in chain)
        issued = certificate
        for link in links:
            try:
                issued.verify_directly_issued_by(link)
            except (InvalidSignature, *MALFORMED) as error:
                raise self._confused("it answered a chain that does not fit") from error
            issued = link
        return links

    def _confused(self, reason: str) -> Unavailable:
        return Unavailable(f"{self.transport.url.text} is not in order: {reason}")


def _json(reply: Reply) -> dict[str, Any] | None:
    if reply.media_type not in ("application/json", "application/problem+json"):
        return None
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _sentence(reply: Reply) -> str:
    """What the service says for people, in one printable line; the status if it says nothing."""
    problem = _json(reply)
    detail = problem.get("detail") if problem else None
    if isinstance(detail, str) and detail.strip():
        return _printable(detail)
    return f"status {reply.status}"


def _printable(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()[:2000]
    return line if line.isprintable() else ascii(line)[1:-1]


def _renew_after(value: object, certificate: x509.Certificate) -> datetime.datetime | None:
    """The moment, if it is one within the certificate's life."""
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
