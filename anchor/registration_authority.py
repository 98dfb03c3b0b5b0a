"""A registration authority: the life of a request, from its submission to a stored certificate."""

from __future__ import annotations

import datetime
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography import x509

from anchor import issuance, requests
from anchor.audit import Trail
from anchor.audit.events import (
    AUTHENTICATION,
    SIGNING,
    Event,
    describe_certificate,
    describe_request,
)
from anchor.auth import AuthDetails, Authenticator
from anchor.errors import RequestError, ValidationFailed
from anchor.policy import Policy
from anchor.signers import SigningCA
from anchor.throttle import Throttle
from anchor.validation import Context
from anchor.X509 import pem

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
        pem: the certificate.
        chain: the certificates of the CA that issued it, and of those above it.
        fingerprint: the SHA-256 over its DER encoding, in hexadecimal.
        signing_seconds: how long it took to build, sign and prove it.
    """

    certificate: x509.Certificate
    pem: bytes
    chain: tuple[x509.Certificate, ...]
    fingerprint: str
    signing_seconds: float


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
    audit: Trail
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
        with self._recorded(submission, SIGNING, _describe_identity(identity)) as details:
            csr = requests.read(submission.csr, submission.encoding)
            details["requested"] = describe_request(csr)
            context = Context(identity, submission.request, self.conf)
            approved = self.policy.approve(csr, context)
            details["dropped_extensions"] = issuance.left_out(approved)
            started = time.perf_counter()
            issued = self.signing_ca.issue(approved, self.clock())
            seconds = time.perf_counter() - started
            fingerprint = hashlib.sha256(issued.der).hexdigest()
            encoded = pem.encode(issued.der, b"CERTIFICATE")
            self.signing_ca.store.put(fingerprint, encoded)
            details.update(describe_certificate(issued.certificate, fingerprint, approved))
        chain = (issued.ca.certificate, *issued.ca.chain)
        return Answer(issued.certificate, encoded, chain, fingerprint, seconds)

    def _authenticate(self, submission: Submission) -> AuthDetails:
        with self._recorded(submission, AUTHENTICATION, {}) as details:
            with self.throttle.attempt(submission.address, submission.user):
                identity = self.authenticator.authenticate(
                    self.name, submission.user, submission.secret
                )
            details.update(_describe_identity(identity))
        return identity

    @contextmanager
    def _recorded(
        self, submission: Submission, kind: str, details: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Put the block's outcome on record, with the details that it adds to."""
        reasons: tuple[str, ...] = ()
        try:
            yield details
        except BaseException as error:
            reasons = _reasons(error)
            if isinstance(error, ValidationFailed):
                details["failures"] = [
                    {"check": failure.check, "reason": failure.reason} for failure in error.failures
                ]
            raise
        finally:
            user = details.pop("user", submission.user)
            self.audit.record(
                Event(
                    kind,
                    self.clock(),
                    self.name,
                    user,
                    submission.address,
                    submission.request_id,
                    reasons,
                    details,
                )
            )


def _describe_identity(identity: AuthDetails) -> dict[str, Any]:
    found = {
        "user": identity.username,
        "groups": list(identity.groups),
        "user_id": identity.user_id,
        "project_id": identity.project_id,
    }
    return {key: value for key, value in found.items() if value}


def _reasons(error: BaseException) -> tuple[str, ...]:
    """Why it failed, as far as the record goes; what is internal goes to the log."""
    if isinstance(error, ValidationFailed):
        return tuple(str(failure) for failure in error.failures)
    if isinstance(error, RequestError):
        return (str(error),)
    return (f"internal error: {type(error).__name__}",)
