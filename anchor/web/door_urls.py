"""The URLs of the door that a request came to."""

from __future__ import annotations

from urllib.parse import quote

from anchor.errors import MalformedSubmission
from anchor.renewal.door_urls import normalize_url
from anchor.web.request import Request
from anchor.web.settings import WebSettings


def door_urls(request: Request, web: WebSettings) -> frozenset[str]:
    """The URLs that name the door of a request, normalized.

    With ``base_url`` there is one.  Without it the Host header decides, with either scheme, because
    a proxy may have ended TLS, and without the port, because nginx leaves it out of the header.

    Raises:
        MalformedSubmission: the Host header is missing or malformed.
    """
    environ = request.environ
    path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
    if web.base_url is not None:
        return frozenset({web.base_url + path})
    path = quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1") + path
    host = environ.get("HTTP_HOST", "")
    try:
        return frozenset(
            normalize_url(f"{scheme}://{host}{path}", keep_port=False)
            for scheme in ("https", "http")
        )
    except ValueError:
        raise MalformedSubmission("the Host header is missing or malformed") from None
