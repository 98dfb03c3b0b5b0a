"""The directory, and new nonces."""

from __future__ import annotations

import json
from http import HTTPStatus

from webob import Response

from anchor.acme import resources
from anchor.controllers.acme.exchange import Exchange
from anchor.controllers.methods import READ
from anchor.web.responses import respond


def show(exchange: Exchange) -> Response:
    """The directory (RFC 8555 section 7.1.1)."""
    exchange.require_method(*READ)
    document = resources.directory(exchange.services.settings, exchange.urls)
    return respond(exchange.request, json.dumps(document).encode("ascii"), "application/json")


def new_nonce(exchange: Exchange) -> Response:
    """A new nonce (RFC 8555 section 7.2): 200 for HEAD, and 204 for GET."""
    exchange.require_method(*READ)
    is_get = exchange.request.environ["REQUEST_METHOD"] == "GET"
    status = HTTPStatus.NO_CONTENT if is_get else HTTPStatus.OK
    response = exchange.respond(b"", status=status, headers={"Replay-Nonce": exchange.nonces.new()})
    # RFC 9110 section 8.6: a 204 has no Content-Length.
    for name in ("Content-Type", "Content-Length") if is_get else ("Content-Type",):
        del response.headers[name]
    return response
