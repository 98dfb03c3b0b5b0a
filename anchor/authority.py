"""A registration authority: the life of a request, from its submission to a stored certificate."""

from __future__ import annotations

import datetime
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography import x509

from anchor.audit.events import (
    AUTHENTICATION,
    SIGNING,
    Event,
    describe_certificate,
    describe_failure,
    describe_request,
)
from anchor.audit.sinks import AuditSink
from anchor.auth.authenticator import Authenticator
from anchor.auth.results import AuthDetails
from anchor.auth.throttle import Throttle
from anchor.ca import template
from anchor.ca.backends import Issued
from anchor.ca.signing_ca import SigningCA
from anchor.errors import RequestError, ValidationFailed
from anchor.policy.policy import Policy
from anchor.X509 import pem
from anchor.X509.csr_reader import read_csr

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Submission:
    """What somebody asks of an authority.

    Attributes:
        user: who they say they are.
        secret: what should prove it.
        csr: the request's octets, in the form in which they came.
        encoding: ``pem`` or ``der``.
        address: the address of the client.
        request_id: the identifier of this submission in logs and answers.
        request: the HTTP request, for validators that look at it.
    """

    user: str
    secret: str = field(repr=False)
    csr: bytes = field(repr=False)
    encoding: str
    address: str
    request_id: str
    request: Any = field(repr=False)


class Answer(NamedTuple):
    """A certificate that may be handed out.

    Attributes:
        issued: the certificate.
        pem: its encoding.
        fingerprint: the SHA-256 over its DER encoding, in hexadecimal.
        signing_seconds: how long it took to build, sign and prove it.
    """

    issued: Issued
    pem: bytes
    fingerprint: str
    signing_seconds: float

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate as a value."""
        return self.issued.certificate

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates of the CA that issued it, and of those above it."""
        ca = self.issued.ca
        return (ca.certificate, *ca.chain)


def utc_now() -> datetime.datetime:
    """The time."""
    return datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class RegistrationAuthority:
    """Everything that one authority needs, built once at start-up."""

    name: str
    authenticator: Authenticator
    policy: Policy
    signing_ca: SigningCA
    audit: AuditSink
    conf: Mapping[str, Any]
    clock: Callable[[], datetime.datetime] = utc_now
    throttle: Throttle = field(default_factory=Throttle)

    def sign(self, submission: Submission) -> Answer:
        """The certificate for a submission.

        Raises:
            RequestError: the submission is not in order; its text says why.
            AnchorError: Anchor is not in order; its text is for the log.
        """
        identity = self._authenticate(submission)
        details = _describe_identity(identity)
        try:
            answer = self._certify(submission, identity, details)
        except BaseException as error:
            self._record(submission, SIGNING, identity, details, error)
            raise
        self._record(submission, SIGNING, identity, details)
        return answer

    def _authenticate(self, submission: Submission) -> AuthDetails:
        try:
            principal = self.authenticator.principal(submission.user)
            with self.throttle.attempt(submission.address, principal) as attempt:
                identity = self.authenticator.authenticate(
                    self.name, submission.user, submission.secret, attempt.identified
                )
        except BaseException as error:
            self._record(submission, AUTHENTICATION, None, {}, error)
            raise
        self._record(submission, AUTHENTICATION, identity, _describe_identity(identity))
        return identity

    def _certify(
        self, submission: Submission, identity: AuthDetails, details: dict[str, Any]
    ) -> Answer:
        """The stored certificate; the details for the record are added as they become known."""
        csr = read_csr(submission.csr, submission.encoding)
        details["requested"] = describe_request(csr)
        context = self.policy.context(identity, submission.request, self.conf)
        approved = self.policy.approve(csr, context)
        details["dropped_extensions"] = template.left_out(approved)
        details["dropped_subject_attributes"] = template.dropped_attributes(csr, approved)
        started = time.perf_counter()
        issued = self.signing_ca.issue(approved, self.clock())
        seconds = time.perf_counter() - started
        fingerprint = hashlib.sha256(issued.der).hexdigest()
        encoded = pem.encode(issued.der, b"CERTIFICATE")
        self.signing_ca.store.put(fingerprint, encoded)
        details.update(describe_certificate(issued, fingerprint, approved))
        return Answer(issued, encoded, fingerprint, seconds)

    def _record(
        self,
        submission: Submission,
        kind: str,
        identity: AuthDetails | None,
        details: dict[str, Any],
        error: BaseException | None = None,
    ) -> None:
        """Put on record what became of a submission."""
        if isinstance(error, ValidationFailed):
            details["failures"] = [describe_failure(failure) for failure in error.failures]
        self.audit.record(
            Event(
                kind,
                self.clock(),
                self.name,
                (identity and identity.username) or submission.user,
                submission.address,
                submission.request_id,
                () if error is None else _reasons(error),
                details,
            )
        )


def _describe_identity(identity: AuthDetails) -> dict[str, Any]:
    """What the record keeps of a requester beside the name."""
    found: dict[str, Any] = {}
    if identity.groups:
        found["groups"] = list(identity.groups)
    if identity.user_id:
        found["user_id"] = identity.user_id
    if identity.project_id:
        found["project_id"] = identity.project_id
    return found


def _reasons(error: BaseException) -> tuple[str, ...]:
    """Why it failed, as far as the record goes; what is internal goes to the log."""
    if isinstance(error, ValidationFailed):
        return tuple(str(failure) for failure in error.failures)
    if isinstance(error, RequestError):
        return (str(error),)
    return (f"internal error: {type(error).__name__}",)
