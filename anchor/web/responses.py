"""Answers, with the headers that every one of them carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from webob.acceptparse import create_accept_header

from anchor.web.request import Request

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(slots=True)
class Response:
    """An answer, as a WSGI application; WebOb's can do more, and takes six times as long."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """The body, unless the method is HEAD (RFC 9110 section 9.3.2)."""
        start_response(self.status, self.headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else self.body]


def respond(
    request: Request,
    body: bytes,
    content_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that carries the request's identifier, and that nobody keeps or interprets."""
    charset = "; charset=utf-8" if content_type.startswith("text/") else ""
    return Response(
        _LINES[status],
        [
            ("Content-Type", content_type + charset),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request.request_id),
            *(headers or {}).items(),
        ],
        body,
    )


_LINES = {status: f"{status.value} {status.phrase}" for status in HTTPStatus}


def wants_json(request: Request) -> bool:
    """Whether the client prefers JSON to plain text (RFC 9110 section 12.5.1)."""
    header = request.environ.get("HTTP_ACCEPT", "")
    if "json" not in header:
        return False
    offers = create_accept_header(header).acceptable_offers(
        ["text/plain", "application/json", "application/problem+json"]
    )
    return bool(offers) and offers[0][0] != "text/plain"
