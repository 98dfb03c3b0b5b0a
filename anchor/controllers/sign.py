"""``POST /v1/sign/<registration authority>``."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.serialization import Encoding
from webob import Response

from anchor.auth.credentials import is_token_id
from anchor.authority import Credentials, Origin, RegistrationAuthority
from anchor.ca.issued import IssuedCertificate
from anchor.errors import NotAuthenticated, UnreadableRequest
from anchor.metrics.registry import Metrics
from anchor.timestamps import timestamp
from anchor.web.forms import read_form
from anchor.web.request import Request
from anchor.web.responses import respond, wants_json
from anchor.web.settings import WebSettings
from anchor.X509.csr_reader import read_csr


def sign(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> Response:
    """The certificate for a submission, in PEM, or in JSON with chain, fingerprint and times."""
    try:
        issued = _issue(request, authority, web, metrics)
    except Exception as error:
        if isinstance(error, NotAuthenticated):
            error.schemes = authority.methods.schemes
        metrics.failed(authority, error)
        raise
    metrics.issued(authority, issued)
    if not wants_json(request):
        return respond(request, issued.pem, "text/plain")
    return respond(request, json.dumps(as_json(issued)).encode(), "application/json")


def _issue(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> IssuedCertificate:
    form = read_form(request, request.read_body(web.max_body_bytes, web.body_seconds))
    origin = Origin(
        address=request.client_addr,
        request_id=request.request_id,
        # A secret in the place of a token's identifier must not get into the record.
        user="" if is_token_id(form.secret) else form.user,
        request=request,
    )
    identity = authority.authenticate(
        Credentials(user=form.user, secret=form.secret, origin=origin, bearer=form.bearer)
    )
    metrics.authenticated(identity)
    try:
        csr = read_csr(form.csr, form.encoding)
    except UnreadableRequest as error:
        authority.record_unreadable(identity, origin, error)
        raise
    return authority.issue(identity, csr, origin)


def as_json(issued: IssuedCertificate) -> dict[str, object]:
    """The certificate with its chain, serial number, fingerprint, validity and renewal time."""
    return {
        "certificate": issued.pem.decode("ascii"),
        "chain": [link.public_bytes(Encoding.PEM).decode("ascii") for link in issued.chain],
        "serial": issued.serial,
        "fingerprint": issued.fingerprint,
        "not_before": timestamp(issued.not_before),
        "not_after": timestamp(issued.not_after),
        "renew_after": timestamp(issued.renew_after),
    }
