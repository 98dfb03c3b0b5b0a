"""HTTP responses with the headers that all of them have."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from webob import Response
from webob.acceptparse import create_accept_header

from anchor.web.request import Request


def respond(
    request: Request,
    body: bytes,
    content_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response with X-Request-Id and with headers against caching and content sniffing."""
    charset = "; charset=utf-8" if content_type.startswith("text/") else ""
    return Response(
        app_iter=[body],
        status=_STATUS_LINES[status],
        headerlist=[
            ("Content-Type", content_type + charset),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request.request_id),
            *(headers or {}).items(),
        ],
    )


_STATUS_LINES = {status: f"{status.value} {status.phrase}" for status in HTTPStatus}


def wants_json(request: Request) -> bool:
    """True if the client prefers JSON to plain text (RFC 9110 section 12.5.1)."""
    header = request.environ.get("HTTP_ACCEPT", "")
    if "json" not in header:
        return False
    offers = create_accept_header(header).acceptable_offers(
        ["text/plain", "application/json", "application/problem+json"]
    )
    return bool(offers) and offers[0][0] != "text/plain"


def wants_html(request: Request) -> bool:
    """True if the client is a browser: it prefers HTML to plain text and to JSON."""
    header = request.environ.get("HTTP_ACCEPT", "")
    if "html" not in header:
        return False
    offers = create_accept_header(header).acceptable_offers(
        ["text/plain", "application/json", "application/problem+json", "text/html"]
    )
    return bool(offers) and offers[0][0] == "text/html"
