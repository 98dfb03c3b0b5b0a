"""``GET /``: the front page, for browsers, for curl, and for programs."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qs, quote

from webob import Response
from webob.acceptparse import create_accept_header

from anchor.errors import UnknownAuthority
from anchor.web.pages.error_page import page_headers
from anchor.web.pages.front_page import HTML, JSON, TEXT, FrontPage
from anchor.web.request import Request
from anchor.web.responses import respond

# A name, an IPv4 address or an IPv6 address in brackets, and a port.  The check is strict because
# the client chooses the header, and readers paste the URL into a shell.
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9._-]{0,253})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?",
    re.ASCII | re.IGNORECASE,
)
PLACEHOLDER = "https://anchor.example.com"


def show(
    request: Request, front: FrontPage, authorities: Collection[str], base_url: str | None
) -> Response:
    """The page in the media type that the client prefers; plain text without a preference.

    ``authority`` in the query selects the page of one authority.

    Args:
        request: the request.
        front: the page.
        authorities: the names of all authorities.
        base_url: the configured URL of the service; None for that of the request.

    Raises:
        UnknownAuthority: no authority has that name.
    """
    query = parse_qs(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    [name] = query.get("authority", [None])[:1]
    if name is not None and name not in authorities:
        raise UnknownAuthority("there is no such registration authority")
    media_type = preferred_media_type(request.environ.get("HTTP_ACCEPT"))
    page = front.page(media_type, name)
    response = respond(
        request,
        page.at(base_url or service_url(request)),
        media_type,
        headers=page_headers(),
    )
    # Unlike other responses, a client may store the page, and has to revalidate it.
    response.headers["Cache-Control"] = "no-cache"
    response.etag = page.etag
    response.conditional_response = True
    return response


def preferred_media_type(accept: str | None) -> str:
    """The media type to answer with (RFC 9110 section 12.5.1)."""
    offers = create_accept_header(accept).acceptable_offers([TEXT, HTML, JSON])
    return str(offers[0][0]) if offers else TEXT


def service_url(request: Request) -> str:
    """The URL by which the client reached the service, without a slash at the end.

    It is an example URL if the Host header is missing or malformed.
    """
    host = request.environ.get("HTTP_HOST", "")
    if not _HOST.fullmatch(host):
        return PLACEHOLDER
    scheme = "https" if request.is_https else "http"
    return f"{scheme}://{host}{quote(request.environ.get('SCRIPT_NAME', '').rstrip('/'))}"
