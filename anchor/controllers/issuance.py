"""The steps that every door takes with a request for a certificate."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from anchor.auth.credentials import recorded_user
from anchor.auth.presented import ClientCertificate, Credentials, Origin, RenewalProof
from anchor.authority import RegistrationAuthority
from anchor.ca.issued import IssuedCertificate
from anchor.errors import NotAuthenticated, UnreadableRequest
from anchor.metrics.registry import Metrics
from anchor.web.request import Request
from anchor.X509.signing_request import X509Csr


class Issuance:
    """Issues the certificate for a request, and counts the outcome.

    Args:
        request: the HTTP request.
        authority: the registration authority.
        metrics: the counters.
        door: the protocol, for the inventory.
    """

    def __init__(
        self, request: Request, authority: RegistrationAuthority, metrics: Metrics, door: str
    ):
        self._request = request
        self._authority = authority
        self._metrics = metrics
        self._door = door

    @contextlib.contextmanager
    def counted(self, schemes: tuple[str, ...] | None = None) -> Iterator[None]:
        """Count the errors of the block.

        Args:
            schemes: the schemes that a 401 names; by default those of the authority.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, NotAuthenticated):
                error.schemes = self._authority.methods.schemes if schemes is None else schemes
            self._metrics.failed(self._authority, error)
            raise

    def with_secret(
        self, user: str, secret: str, read_csr: Callable[[], X509Csr], *, bearer: bool = False
    ) -> IssuedCertificate:
        """The certificate for a requester with a secret; the request is read after that.

        Raises the errors of :meth:`RegistrationAuthority.authenticate` and
        :meth:`RegistrationAuthority.issue`, and UnreadableRequest.
        """
        origin = self._origin(recorded_user(user, secret))
        presented = Credentials(user=user, secret=secret, origin=origin, bearer=bearer)
        return self._issue(presented, read_csr)

    def with_client_certificate(
        self, der: bytes, read_csr: Callable[[], X509Csr]
    ) -> IssuedCertificate:
        """The certificate for the holder of a TLS client certificate; raises the same errors."""
        return self._issue(ClientCertificate(der=der, origin=self._origin()), read_csr)

    def with_proof(
        self, proof: str, read_csr: Callable[[], X509Csr], urls: frozenset[str], *, any_port: bool
    ) -> IssuedCertificate:
        """The certificate for a requester who proves to have the old key.

        Args:
            proof: the proof.
            read_csr: return the request, to which the proof is bound.
            urls: the URLs of the door.
            any_port: True if they have no port.

        Raises:
            AnchorError: as :meth:`with_secret`.
        """
        read_once = functools.cache(read_csr)
        presented = RenewalProof(
            text=proof,
            read_csr=lambda: read_once().submitted.der,
            urls=urls,
            any_port=any_port,
            origin=self._origin(),
        )
        return self._issue(presented, read_once)

    def _origin(self, user: str = "") -> Origin:
        return Origin(
            address=self._request.client_addr,
            request_id=self._request.request_id,
            door=self._door,
            user=user,
            request=self._request,
        )

    def _issue(
        self,
        presented: Credentials | ClientCertificate | RenewalProof,
        read_csr: Callable[[], X509Csr],
    ) -> IssuedCertificate:
        identity = self._authority.authenticate(presented)
        self._metrics.authenticated(identity)
        try:
            csr = read_csr()
        except UnreadableRequest as error:
            self._authority.record_unreadable(identity, presented.origin, error)
            raise
        issued = self._authority.issue(identity, csr, presented.origin)
        self._metrics.issued(self._authority, issued)
        return issued
