"""The pipeline: authenticate the requester, then issue a certificate.

Every protocol uses :meth:`RegistrationAuthority.authenticate` and
:meth:`RegistrationAuthority.issue`; no other code signs certificates for requesters.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anchor.audit import events
from anchor.audit.events import AUTHENTICATION, SIGNING, Event
from anchor.audit.sinks import AuditSink
from anchor.auth.methods import AuthenticationMethods
from anchor.auth.presented import (
    AccountKey,
    ClientCertificate,
    Credentials,
    Origin,
    Presented,
    RenewalProof,
    TokenMac,
)
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.ca.dropped import dropped_attributes, dropped_extensions
from anchor.ca.inventory_record import certificate_record
from anchor.ca.issued import IssuedCertificate
from anchor.ca.signing_ca import SigningCA
from anchor.errors import (
    AnchorError,
    BackendUnavailable,
    NotAuthenticated,
    TooManyAttempts,
    ValidationFailed,
)
from anchor.policy.policy import Policy
from anchor.renewal.authentication import RenewalAuthentication
from anchor.store.database.certificates import Inventory
from anchor.timestamps import utc_now
from anchor.X509 import name_search
from anchor.X509.signing_request import X509Csr

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RegistrationAuthority:
    """A configured registration authority, built once at start-up."""

    name: str
    methods: AuthenticationMethods
    renewals: RenewalAuthentication
    policy: Policy
    signing_ca: SigningCA
    inventory: Inventory
    audit: AuditSink
    conf: Mapping[str, Any]
    clock: Callable[[], datetime.datetime] = utc_now

    def authenticate(self, presented: Presented) -> AuthDetails:
        """Return the identity of the requester, and record it.

        Raises:
            NotAuthenticated: the credentials are wrong.
            Forbidden: the authority does not accept a certificate as the credential.
            UnreadableRequest: the request that a proof is for is not readable.
            TooManyAttempts: credentials failed too often.
            BackendUnavailable: the backend cannot be reached.
            DatabaseUnavailable: the database is away, locked or full.
            AnchorError: Anchor is at fault; the text is for the log.
        """
        # The methods add to these, so that the record of a failure has all details until then.
        details: dict[str, Any] = {}
        try:
            match presented:
                case Credentials():
                    identity = self._check_secret(presented, details)
                case TokenMac():
                    identity = self._check_mac(presented, details)
                case AccountKey():
                    identity = self._check_account(presented.recorded, details)
                case _:
                    identity = self._check_certificate(presented, details)
        except BaseException as error:
            if isinstance(error, NotAuthenticated | TooManyAttempts | BackendUnavailable):
                error.authentication = details.get("authentication", "")
            self._record(AUTHENTICATION, presented.origin, details=details, error=error)
            raise
        self._record(AUTHENTICATION, presented.origin, identity, events.describe_identity(identity))
        return identity

    def _check_secret(self, credentials: Credentials, details: dict[str, Any]) -> AuthDetails:
        user, secret = credentials.user, credentials.secret
        authenticator, throttle = self.methods.select(user, secret, bearer=credentials.bearer)
        details |= events.describe_method(authenticator.name, authenticator.credential)
        with throttle.attempt(
            credentials.origin.address,
            authenticator.principal(user),
            is_guessable=authenticator.credential is CredentialKind.PASSWORD,
        ) as attempt:
            identity = authenticator.authenticate(self.name, user, secret, attempt.count_for)
            self._require_unused(identity)
        return identity.authenticated_by(authenticator.name, authenticator.credential)

    def _check_mac(self, presented: TokenMac, details: dict[str, Any]) -> AuthDetails:
        authenticator, throttle = self.methods.of_tokens()
        details |= events.describe_method(authenticator.name, authenticator.credential)
        # Only failures count: nobody guesses a key of 256 random bits.
        with throttle.attempt(presented.origin.address, presented.token_id, is_guessable=False):
            identity = authenticator.verify_mac(self.name, presented)
        return identity.authenticated_by(authenticator.name, authenticator.credential)

    def _check_account(self, recorded: AuthDetails, details: dict[str, Any]) -> AuthDetails:
        name = ""
        if recorded.order is not None:
            details |= events.describe_order(recorded.order)
        if recorded.token_id is not None:
            authenticator, _ = self.methods.of_tokens()
            name = authenticator.name
            details |= events.describe_method(name, CredentialKind.ACME)
            authenticator.look_up(self.name, recorded)
        return recorded.authenticated_by(name, CredentialKind.ACME)

    def _check_certificate(
        self, presented: ClientCertificate | RenewalProof, details: dict[str, Any]
    ) -> AuthDetails:
        holder = self.renewals.find(presented)
        authenticator, throttle = holder.method
        details |= events.describe_method(authenticator.name, CredentialKind.CERTIFICATE)
        details |= events.describe_renewed(holder.fingerprint)
        with throttle.attempt_with_certificate(presented.origin.address, holder.fingerprint):
            identity = holder.authenticate(self.clock())
            self._require_unused(identity)
            return identity

    def _require_unused(self, identity: AuthDetails) -> None:
        if identity.single_use is not None:
            self.inventory.require_unused(identity.single_use, self.clock())

    def issue(
        self,
        identity: AuthDetails,
        csr: X509Csr,
        origin: Origin,
        *,
        validity: datetime.timedelta | None = None,
    ) -> IssuedCertificate:
        """Return the certificate for a request, stored and recorded.

        Args:
            identity: the requester.
            csr: the request.
            origin: where it came from.
            validity: how long the certificate is valid, if that is shorter than the CA's setting.

        Raises:
            OrderNotReady: the order of the ACME account has a certificate already, or has ended.
            ValidationFailed: the policy rejects the request.
            NotAuthenticated: another request has used the credential up meanwhile.
            DatabaseUnavailable: the database is away, locked or full.
            AnchorError: Anchor is at fault; the text is for the log.
        """
        # _issue adds to these, so that the record of a failure has all details until then.
        details = {
            **events.describe_identity(identity),
            "requested": events.describe_request(csr),
        }
        try:
            issued = self._issue(identity, csr, origin, details, validity)
        except BaseException as error:
            self._record(SIGNING, origin, identity, details, error)
            raise
        try:
            self._record(SIGNING, origin, identity, details)
        except BaseException:
            self._give_back(identity)
            raise
        return issued

    def record_unreadable(self, identity: AuthDetails, origin: Origin, error: Exception) -> None:
        """Record that an authenticated requester sent an unreadable request."""
        self._record(SIGNING, origin, identity, events.describe_identity(identity), error)

    def _issue(
        self,
        identity: AuthDetails,
        csr: X509Csr,
        origin: Origin,
        details: dict[str, Any],
        validity: datetime.timedelta | None,
    ) -> IssuedCertificate:
        context = self.policy.context(identity, origin.request, self.conf)
        approved = self.policy.evaluate(csr, context).require_approved()
        details["dropped_extensions"] = dropped_extensions(approved)
        details["dropped_subject_attributes"] = dropped_attributes(csr, approved)
        started = time.perf_counter()
        now = self.clock()
        certificate, ca = self.signing_ca.issue(approved, now, validity=validity)
        issued = IssuedCertificate(
            certificate=certificate,
            ca=ca,
            dropped_extensions=details["dropped_extensions"],
            dropped_attributes=details["dropped_subject_attributes"],
            signing_seconds=time.perf_counter() - started,
        )
        self.inventory.add(
            certificate_record(
                issued,
                approved,
                identity=identity,
                origin=origin,
                authority=self.name,
                signing_ca=self.signing_ca.name,
                now=now,
            ),
            name_search.search_entries(approved.interpreted_names),
            single_use=identity.single_use,
            order=identity.order,
        )
        try:
            self.signing_ca.store.put(issued.fingerprint, issued.pem)
        except BaseException:
            self._give_back(identity)
            raise
        details.update(events.describe_certificate(issued, approved))
        return issued

    def _give_back(self, identity: AuthDetails) -> None:
        """Give the use of a credential back after an error: nothing is answered."""
        order = identity.order
        token_id = None if identity.renewal or order else identity.token_id
        if token_id is None and identity.single_use is None and order is None:
            return
        try:
            self.inventory.give_back(token_id, identity.single_use, self.clock(), order)
        except AnchorError as error:
            LOG.error("a use of the credential of %r is lost: %s", identity.username, error)

    def _record(
        self,
        kind: str,
        origin: Origin,
        identity: AuthDetails | None = None,
        details: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Record the outcome of a step; raise AuditError if that fails."""
        details = dict(details or {})
        if isinstance(error, ValidationFailed):
            details["failures"] = [events.describe_failure(failure) for failure in error.failures]
        self.audit.record(
            Event(
                kind=kind,
                time=self.clock(),
                authority=self.name,
                user=(identity and identity.username) or origin.user,
                address=origin.address,
                request_id=origin.request_id,
                reasons=() if error is None else events.reasons(error),
                details=details,
            )
        )
