"""Certificates of ACME clients."""

from __future__ import annotations

from webob import Response
from webob.acceptparse import create_accept_header

from anchor.acme import revocation
from anchor.acme.certificate_chain import certificate_chain
from anchor.acme.explanation import explain_revocation
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.renewal_info import look_up
from anchor.acme.requests import Signer
from anchor.controllers.acme.exchange import Exchange
from anchor.controllers.methods import READ
from anchor.timestamps import timestamp

_MEDIA_TYPE = "application/pem-certificate-chain"


def certificate(exchange: Exchange, order_id: str) -> Response:
    """The certificate of an order with its chain (RFC 8555 section 7.4.2)."""
    request = exchange.read()
    request.require_empty()
    # An empty header is like none.
    accepted = create_accept_header(exchange.request.environ.get("HTTP_ACCEPT") or None)
    if not accepted.acceptable_offers([_MEDIA_TYPE]):
        raise AcmeProblem(
            ProblemType.NOT_ACCEPTABLE,
            f"certificates have the type {_MEDIA_TYPE}, which the Accept header should allow",
        )
    chain = certificate_chain(exchange.services, request.require_account(), order_id)
    return exchange.respond(chain, media_type=_MEDIA_TYPE)


def revoke(exchange: Exchange) -> Response:
    """Revoke a certificate (RFC 8555 section 7.6)."""
    request = exchange.read(Signer.ACCOUNT | Signer.CERTIFIED_KEY)
    revocation.revoke(exchange.services, request, exchange.origin)
    response = exchange.respond(b"")
    del response.headers["Content-Type"]
    return response


def renewal_info(exchange: Exchange, certificate_id: str) -> Response:
    """When to renew a certificate (RFC 9773 section 4); anybody may ask."""
    exchange.require_method(*READ)
    info = look_up(exchange.services, certificate_id)
    start, end = timestamp(info.window.start), timestamp(info.window.end)
    document: dict[str, object] = {"suggestedWindow": {"start": start, "end": end}}
    if info.revocation is not None:
        document["explanationURL"] = exchange.urls.explanation(certificate_id)
    return exchange.respond(document, headers={"Retry-After": str(info.retry_after)})


def explanation(exchange: Exchange, certificate_id: str) -> Response:
    """A page for the holder of a revoked certificate (RFC 9773 section 4.2)."""
    exchange.require_method(*READ)
    info = look_up(exchange.services, certificate_id)
    return exchange.respond(explain_revocation(info).encode("ascii"), media_type="text/plain")
