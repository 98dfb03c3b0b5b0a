"""``POST /v1/renew/<registration authority>``."""

from __future__ import annotations

from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.controllers.issuance import Issuance
from anchor.controllers.sign import respond_with
from anchor.errors import NotAuthenticated
from anchor.metrics.registry import Metrics
from anchor.web.client_certificate import client_certificate
from anchor.web.door_urls import door_urls
from anchor.web.forms import read_renewal_form
from anchor.web.request import Request
from anchor.web.settings import WebSettings
from anchor.X509.csr_reader import read_csr
from anchor.X509.signing_request import X509Csr


def renew(
    request: Request, authority: RegistrationAuthority, web: WebSettings, metrics: Metrics
) -> Response:
    """The next certificate for the holder of one, who shows a proof or uses it for TLS."""
    issuance = Issuance(request, authority, metrics, "renew")
    with issuance.counted(schemes=("Certificate",)):
        body = request.read_body(web.max_body_bytes, web.body_seconds)
        form = read_renewal_form(request, body)

        def read() -> X509Csr:
            return read_csr(form.csr, form.encoding)

        if form.proof:
            issued = issuance.with_proof(
                form.proof, read, door_urls(request, web), any_port=web.base_url is None
            )
        else:
            der = client_certificate(request)
            if der is None:
                raise NotAuthenticated(
                    "there is neither a client certificate nor a proof with the old key"
                )
            issued = issuance.with_client_certificate(der, read)
    return respond_with(request, issued)
