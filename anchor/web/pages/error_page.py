"""The page that a browser shows for an error."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote, urlsplit

from anchor.policy.description.summary import printable
from anchor.web.pages.templates import content_security_policy, style_sheet, template
from anchor.web.request import Request

HAS_FRONT_PAGE = "anchor.has_front_page"
BASE_URL = "anchor.base_url"

# Clients of these protocols expect what their standards say, whatever they accept.
_PROTOCOLS = ("/.well-known/", "/acme/")


def has_error_page(request: Request) -> bool:
    """False for the paths of protocols that say what an error looks like."""
    return not request.environ.get("PATH_INFO", "").startswith(_PROTOCOLS)


def error_page(request: Request, status: HTTPStatus, detail: str) -> bytes:
    """The page in UTF-8.

    Args:
        request: the request that failed.
        status: the status of the response.
        detail: what the requester may know.
    """
    page: str = template("error.html").render(
        status=status,
        lines=list(map(printable, detail.splitlines())),
        request_id=request.request_id,
        home=_front_page(request),
        style=style_sheet(),
    )
    return page.encode()


def _front_page(request: Request) -> str:
    """The path of the front page; empty if it is switched off."""
    if not request.environ.get(HAS_FRONT_PAGE):
        return ""
    base_url: str | None = request.environ.get(BASE_URL)
    path = urlsplit(base_url).path if base_url else quote(request.environ.get("SCRIPT_NAME", ""))
    # A path that began with two slashes would be another host.
    root = path.strip("/")
    return f"/{root}/" if root else "/"


def page_headers() -> dict[str, str]:
    """The headers of every page."""
    return {
        "Vary": "Accept",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": content_security_policy(),
    }
