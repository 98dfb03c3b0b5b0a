"""``POST /v1/sign/<registration authority>``."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.serialization import Encoding
from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.ca.issued import IssuedCertificate
from anchor.controllers.issuance import Issuance
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
    """The certificate for a requester who shows a secret."""
    issuance = Issuance(request, authority, metrics, "sign")
    with issuance.counted():
        form = read_form(request, request.read_body(web.max_body_bytes, web.body_seconds))
        issued = issuance.with_secret(
            form.user,
            form.secret,
            lambda: read_csr(form.csr, form.encoding),
            bearer=form.bearer,
        )
    return respond_with(request, issued)


def respond_with(request: Request, issued: IssuedCertificate) -> Response:
    """The certificate in PEM, or in JSON with chain, fingerprint and times."""
    if not wants_json(request):
        return respond(request, issued.pem, "text/plain")
    return respond(request, json.dumps(as_json(issued)).encode(), "application/json")


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
