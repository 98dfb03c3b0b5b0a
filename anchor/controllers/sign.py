"""``POST /v1/sign/<registration authority>``."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.authority import Answer, RegistrationAuthority, Submission
from anchor.metrics.registry import Metrics
from anchor.timestamps import timestamp
from anchor.web.forms import read_form
from anchor.web.request import Request
from anchor.web.responses import Response, respond, wants_json

if TYPE_CHECKING:
    from anchor.web.settings import WebSettings


def sign(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> Response:
    """The certificate for a submission, in PEM, or in JSON with all that a client wants to know."""
    try:
        answer = _answer(request, authority, web)
    except Exception as error:
        metrics.failed(authority, error)
        raise
    metrics.issued(authority, answer)
    if not wants_json(request):
        return respond(request, answer.pem, "text/plain")
    return respond(request, json.dumps(as_json(answer)).encode(), "application/json")


def _answer(request: Request, authority: RegistrationAuthority, web: WebSettings) -> Answer:
    body = request.read_body(web.max_body_bytes, web.body_seconds)
    form = read_form(request, body)
    return authority.sign(
        Submission(
            form.user,
            form.secret,
            form.csr,
            form.encoding,
            request.client_addr,
            request.request_id,
            request,
        )
    )


def as_json(answer: Answer) -> dict[str, object]:
    """The certificate with its chain, and when it begins, ends and should be renewed."""
    certificate = answer.certificate
    return {
        "certificate": answer.pem.decode("ascii"),
        "chain": [link.public_bytes(Encoding.PEM).decode("ascii") for link in answer.chain],
        "serial": f"{certificate.serial_number:x}",
        "fingerprint": answer.fingerprint,
        "not_before": timestamp(certificate.not_valid_before_utc),
        "not_after": timestamp(certificate.not_valid_after_utc),
        "renew_after": timestamp(renew_after(certificate)),
    }


def renew_after(certificate: x509.Certificate) -> datetime.datetime:
    """From when a certificate should be renewed: when a third of its life is left."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return (certificate.not_valid_after_utc - life / 3).replace(microsecond=0)
