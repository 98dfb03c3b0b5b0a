"""The certificate in force as the credential for the next one."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from anchor.auth.methods import AuthenticationMethod, AuthenticationMethods
from anchor.auth.presented import ClientCertificate, RenewalProof
from anchor.auth.renewal import Renewal
from anchor.auth.results import NO_CLAIMS, AuthDetails, CredentialKind, SingleUse
from anchor.ca.signing_ca import SigningCA
from anchor.errors import Forbidden, NotAuthenticated
from anchor.renewal.proof import UnverifiedProof, parse_proof
from anchor.renewal.settings import RenewalSettings
from anchor.store.records import CertificateRecord, Issuance
from anchor.timestamps import timestamp
from anchor.X509.parse_errors import MALFORMED, without_length_warnings

# The clocks of nodes differ.
_SKEW = datetime.timedelta(seconds=60)


class IssuedCertificates(Protocol):
    """The inventory of all nodes."""

    def find(self, fingerprint: str) -> CertificateRecord | None:
        """The certificate with a SHA-256, in hexadecimal; None if there is none.

        Raises:
            DatabaseUnavailable: the database is away.
        """


@dataclass(frozen=True, kw_only=True)
class RenewalAuthentication:
    """Authenticates the holder of a certificate that the authority has issued.

    Attributes:
        authority: the name of the registration authority.
        settings: which certificates can be renewed.
        methods: the ways to authenticate at the authority.
        signing_ca: the CA of the authority.
        inventory: the issued certificates.
    """

    authority: str
    settings: RenewalSettings
    methods: AuthenticationMethods
    signing_ca: SigningCA
    inventory: IssuedCertificates

    def find(self, presented: ClientCertificate | RenewalProof) -> Holder:
        """The holder of the certificate that a client presented, who is not authenticated yet.

        Raises:
            Forbidden: the authority renews no certificates.
            NotAuthenticated: the proof is malformed.
            DatabaseUnavailable: the database is away.
        """
        if not self.settings.enabled:
            raise Forbidden("this registration authority renews no certificates without a secret")
        proof = None
        if isinstance(presented, ClientCertificate):
            der = presented.der
        else:
            proof = parse_proof(presented.text)
            der = proof.certificate
        fingerprint = hashlib.sha256(der).hexdigest()
        record = self.inventory.find(fingerprint)
        issuance = record.issuance if record else None
        method = self.methods.named(issuance.authentication) if issuance else None
        return Holder(
            authentication=self,
            presented=presented,
            proof=proof,
            fingerprint=fingerprint,
            record=record,
            recorded_method=method,
        )

    def require_issued_here(
        self, record: CertificateRecord | None
    ) -> tuple[CertificateRecord, Issuance]:
        """Require that the authority has issued a certificate.

        Args:
            record: the certificate in the inventory; None if it is not there.

        Raises:
            NotAuthenticated: another authority or another CA has issued it, or it was imported.
        """
        if record is None or record.issuance is None or record.issuance.authority != self.authority:
            raise NotAuthenticated("the certificate was not issued by this registration authority")
        return record, record.issuance

    def require_renewable(
        self, record: CertificateRecord, issuance: Issuance, now: datetime.datetime
    ) -> Renewal:
        """Require that a certificate can be renewed now.

        Args:
            record: the certificate in the inventory.
            issuance: the record of its issuance.
            now: the time, in UTC.

        Raises:
            NotAuthenticated: it cannot; the text says why.
        """
        if issuance.acme_account is not None:
            # Otherwise it would outlive its account, and no challenge would be asked for again.
            raise NotAuthenticated(
                "the certificate was ordered over ACME: order the next one there"
            )
        try:
            with without_length_warnings(record.der):
                certificate = x509.load_der_x509_certificate(record.der)
                subject, names = certificate.subject, _alternative_names(certificate)
        except MALFORMED as error:
            raise NotAuthenticated("the certificate cannot be read") from error
        if not self.signing_ca.has_issued(certificate):
            raise NotAuthenticated(
                "the certificate was issued by a CA that this authority does not use"
            )
        if now + _SKEW < record.not_before:
            raise NotAuthenticated("the certificate is not valid yet")
        if record.not_after + self.settings.grace < now:
            raise NotAuthenticated(f"the certificate has expired, at {timestamp(record.not_after)}")
        renewals = issuance.renewals + 1
        since = issuance.lineage_since or issuance.issued_at
        if self.settings.max_renewals is not None and renewals > self.settings.max_renewals:
            raise NotAuthenticated(
                f"the certificate comes from {issuance.renewals} renewals in a row, and the limit "
                f"is {self.settings.max_renewals}: authenticate with a secret, a token or a JWT"
            )
        if self.settings.max_age is not None and since + self.settings.max_age < now:
            raise NotAuthenticated(
                f"the requester last showed a secret at {timestamp(since)}, which is too long ago "
                "for a renewal: authenticate with a secret, a token or a JWT"
            )
        return Renewal(
            fingerprint=record.fingerprint,
            key=record.key,
            subject=subject,
            alternative_names=names,
            allows_fewer_names=self.settings.allow_fewer_names,
            lineage_since=since,
            renewals=renewals,
        )


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a certificate that a client presented.

    Attributes:
        authentication: the rules of the authority.
        presented: what the client presented.
        proof: the proof of possession; None if the key was used for TLS.
        fingerprint: the SHA-256 of the certificate, in hexadecimal.
        record: the certificate in the inventory; None if it is not there.
        recorded_method: how the holder authenticated for the first certificate; None if the
            authority does not have that authentication any more.
    """

    authentication: RenewalAuthentication
    presented: ClientCertificate | RenewalProof
    proof: UnverifiedProof | None
    fingerprint: str
    record: CertificateRecord | None
    recorded_method: AuthenticationMethod | None

    @property
    def method(self) -> AuthenticationMethod:
        """The method whose limits on failures apply."""
        return self.recorded_method or self.authentication.methods.first

    def authenticate(self, now: datetime.datetime) -> AuthDetails:
        """Return the identity that was recorded with the first certificate.

        Groups that the requester has lost meanwhile are left out, as far as the backend can tell.

        Raises:
            NotAuthenticated: the certificate is no credential, or the requester is gone.
            UnreadableRequest: the request that the proof is for is not readable.
            BackendUnavailable: the backend cannot be asked for the requester.
            DatabaseUnavailable: the database is away.
            PluginError: the backend failed.
        """
        # First: no work for certificates of strangers, such as the verification with a huge key.
        record, issuance = self.authentication.require_issued_here(self.record)
        single_use: SingleUse | None = None
        if self.proof is not None and isinstance(self.presented, RenewalProof):
            single_use = self.proof.verify(self.presented, now)
        renewal = self.authentication.require_renewable(record, issuance, now)
        if issuance.authentication is None:
            raise NotAuthenticated(
                "the inventory does not say how the requester authenticated for the certificate"
            )
        if self.recorded_method is None:
            raise NotAuthenticated(
                "the first certificate was requested with an authentication that this authority "
                "no longer has"
            )
        recorded = AuthDetails(
            issuance.requester,
            issuance.groups,
            issuance.user_id,
            issuance.project_id,
            claims=issuance.claims or NO_CLAIMS,
            allowed_names=issuance.allowed_names,
            token_id=issuance.token_id,
            single_use=single_use,
            authentication=self.recorded_method.authenticator.name,
            credential=CredentialKind.CERTIFICATE,
            renewal=renewal,
        )
        current = self.recorded_method.authenticator.look_up(
            self.authentication.authority, recorded
        )
        return recorded if current is None else _without_losses(recorded, current)


def _without_losses(recorded: AuthDetails, current: AuthDetails) -> AuthDetails:
    """The recorded identity without the groups and names that the requester has lost."""
    groups = frozenset(current.groups)
    names = current.allowed_names
    return AuthDetails(
        recorded.username,
        (group for group in recorded.groups if group in groups),
        recorded.user_id,
        recorded.project_id,
        claims=recorded.claims,
        allowed_names=recorded.allowed_names if names is None else names,
        token_id=recorded.token_id,
        single_use=recorded.single_use,
        authentication=recorded.authentication,
        credential=recorded.credential,
        renewal=recorded.renewal,
    )


def _alternative_names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(extension.value)
