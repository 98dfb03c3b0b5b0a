"""``/.well-known/est/``: Enrollment over Secure Transport (RFC 7030)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import pecan
from cryptography import x509
from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.controllers.issuance import Issuance
from anchor.controllers.methods import READ, current_request
from anchor.errors import Forbidden, NotAuthenticated, UnknownAuthority, UnsupportedSubmission
from anchor.est.csr_attributes import csr_attributes
from anchor.est.messages import certs_only, encode, parse_request
from anchor.est.paths import Operation, parse_path
from anchor.metrics.registry import Metrics
from anchor.web.authorization import header_credentials
from anchor.web.client_certificate import client_certificate
from anchor.web.forms import content_type
from anchor.web.problems import respond_to_error
from anchor.web.request import Request
from anchor.web.responses import respond
from anchor.web.settings import WebSettings
from anchor.X509.signing_request import X509Csr

REQUEST_TYPE = "application/pkcs10"


class WellKnownController:
    """``/.well-known/`` (RFC 8615)."""

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        metrics: Metrics,
    ):
        self._authorities = authorities
        self._web = web
        self._metrics = metrics

    @pecan.expose()
    def est(self, *segments: str) -> Response:
        """An operation of EST at the authority that the label names."""
        label, operation = parse_path(segments)
        authority = self._authorities.get(label)
        if authority is None:
            raise UnknownAuthority("there is no such registration authority")
        request = current_request(*READ) if operation.is_read else current_request("POST")
        match operation:
            case Operation.CA_CERTIFICATES:
                return _show_ca_certificates(request, authority)
            case Operation.CSR_ATTRIBUTES:
                return _show_csr_attributes(request, authority)
            case Operation.ENROLL:
                try:
                    return _enroll(request, authority, self._web, self._metrics)
                except NotAuthenticated as error:
                    if request.environ.get("HTTP_AUTHORIZATION") or _has_user_agent(request):
                        raise
                    return _ask_for_credentials(request, error)
            case Operation.REENROLL:
                return _reenroll(request, authority, self._web, self._metrics)


def _show_ca_certificates(request: Request, authority: RegistrationAuthority) -> Response:
    """All generations of the CA's certificate, with their chains."""
    # Generations may have the same root, which is listed once.
    certificates = dict.fromkeys(
        certificate
        for ca in authority.signing_ca.trust_bundle(authority.clock())
        for certificate in (ca.certificate, *ca.chain)
    )
    return _respond(request, certs_only(certificates), "application/pkcs7-mime")


def _show_csr_attributes(request: Request, authority: RegistrationAuthority) -> Response:
    """The key that the policy requires; no content if it requires none."""
    attributes = csr_attributes(authority.policy)
    if attributes is None:
        response = respond(request, b"", "application/csrattrs", HTTPStatus.NO_CONTENT)
        # RFC 9110 section 8.6: a 204 has no Content-Length.
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
        return response
    return _respond(request, attributes, "application/csrattrs")


def _enroll(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> Response:
    """The certificate for a requester with a secret, or with a certificate of the authority."""
    issuance = Issuance(request, authority, metrics, "est-enroll")
    with issuance.counted():
        read_csr = _request_reader(request, web)
        credentials = header_credentials(request)
        if credentials is not None:
            issued = issuance.with_secret(
                credentials.user, credentials.secret, read_csr, bearer=credentials.bearer
            )
        else:
            der = client_certificate(request)
            if der is None:
                raise NotAuthenticated(
                    "there is neither an Authorization header nor a client certificate"
                )
            try:
                issued = issuance.with_client_certificate(der, read_csr)
            except Forbidden as error:
                # The client may have a secret too, and send it only after a 401.
                raise NotAuthenticated(str(error)) from error
    return _respond_with(request, issued.certificate)


def _ask_for_credentials(request: Request, error: NotAuthenticated) -> Response:
    """The 401 after which a client sends its secret, as Bouncy Castle can read it.

    It sends no User-Agent, fails if the 401 has a body, and reads the first challenge only.
    """
    if "Basic" in error.schemes:
        error.schemes = ("Basic",)
    response = respond_to_error(error, request)
    response.body = b""
    return response


def _reenroll(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> Response:
    """The next certificate for the holder of one, who uses it for TLS."""
    issuance = Issuance(request, authority, metrics, "est-reenroll")
    with issuance.counted(schemes=("Certificate",)):
        read_csr = _request_reader(request, web)
        der = client_certificate(request)
        if der is None:
            raise NotAuthenticated(
                "there is no client certificate: simplereenroll renews the certificate that the "
                "client uses for TLS; without one, use simpleenroll with an Authorization header"
            )
        issued = issuance.with_client_certificate(der, read_csr)
    return _respond_with(request, issued.certificate)


def _request_reader(request: Request, web: WebSettings) -> Callable[[], X509Csr]:
    """Read the body; return the function that parses it, for after the authentication.

    Raises:
        RequestError: the body is too large, too slow, incomplete, or of another media type.
    """
    body = request.read_body(web.max_body_bytes, web.body_seconds)
    media_type, _ = content_type(request)
    if media_type != REQUEST_TYPE:
        raise UnsupportedSubmission(f"the body should be {REQUEST_TYPE}")
    return lambda: parse_request(body)


def _respond_with(request: Request, certificate: x509.Certificate) -> Response:
    media_type = "application/pkcs7-mime; smime-type=certs-only"
    return _respond(request, certs_only([certificate]), media_type)


def _respond(request: Request, der: bytes, media_type: str) -> Response:
    # strongSwan sends no User-Agent, and reads one line only.
    message = encode(der, one_line=not _has_user_agent(request))
    # RFC 8951 section 3 has clients ignore the header; those for RFC 7030 may expect it.
    headers = {"Content-Transfer-Encoding": "base64"}
    return respond(request, message, media_type, headers=headers)


def _has_user_agent(request: Request) -> bool:
    return bool(request.environ.get("HTTP_USER_AGENT"))
