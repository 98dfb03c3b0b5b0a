"""The front page: the service, its authorities, and how to request a certificate."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from mako.template import Template

from anchor.authority import RegistrationAuthority
from anchor.est.paths import label_path
from anchor.policy.description import summary
from anchor.timestamps import timestamp, utc_now
from anchor.web.pages import page_data
from anchor.web.settings import FrontPageMode

HTML, TEXT, JSON = "text/html", "text/plain", "application/json"

# With more authorities than this, the page lists their names and links to a page for each.
MAX_DETAILED = 20


@dataclass(frozen=True)
class RenderedPage:
    """A page without the service's URL, which differs between clients.

    Attributes:
        minute: the minute for which the page was rendered.
        parts: the text, split where the URL belongs.
        etag: the entity tag.
    """

    minute: datetime.datetime
    parts: tuple[str, ...]
    etag: str

    def at(self, url: str) -> bytes:
        """The page with the service's URL, in UTF-8."""
        return url.join(self.parts).encode()


class FrontPage:
    """The pages of a service, rendered at most once a minute.

    Args:
        authorities: the authorities by their names.
        mode: ``full``, or ``short`` to leave out the policies.
        clock: the time in UTC.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        mode: FrontPageMode = "full",
        clock: Callable[[], datetime.datetime] = utc_now,
    ):
        self._authorities = authorities
        self._mode = mode
        self._clock = clock
        self._policies: dict[str, page_data.PolicySummary] = {}
        self._pages: dict[tuple[str, str | None], RenderedPage] = {}
        # Random, so that no certificate's subject and no name can contain it.
        self._url_placeholder = secrets.token_hex(16)

    def page(self, media_type: str, name: str | None = None) -> RenderedPage:
        """The page about one authority, or about all of them.

        Args:
            media_type: ``text/html``, ``text/plain`` or ``application/json``.
            name: an existing authority; None for all.
        """
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        page = self._pages.get((media_type, name))
        if page is None or page.minute != minute:
            page = self._pages[media_type, name] = self._render(media_type, name, now, minute)
        return page

    def _render(
        self, media_type: str, name: str | None, now: datetime.datetime, minute: datetime.datetime
    ) -> RenderedPage:
        names = sorted(self._authorities) if name is None else [name]
        names_only = len(names) > MAX_DETAILED
        authorities = [] if names_only else [self._authority(each, now) for each in names]
        if media_type == JSON:
            # Programs follow the links to the pages of the authorities.
            links = [{"name": each, "page": f"?authority={each}"} for each in names]
            document = {
                "service": "anchor",
                "authorities": links if names_only else list(map(page_data.as_json, authorities)),
            }
            text = json.dumps(document)
        else:
            text = templates()[media_type].render(
                names=names if names_only else (),
                authorities=authorities,
                alone=name is not None,
                url=self._url_placeholder,
                style=style_sheet(),
                always=summary.describe_mandatory_checks()
                if self._mode == "full" and authorities
                else "",
                timestamp=timestamp,
            )
        parts = text.split(self._url_placeholder)
        digest = hashlib.sha256("".join(parts).encode()).hexdigest()
        return RenderedPage(minute, tuple(parts), digest[:32])

    def _authority(self, name: str, now: datetime.datetime) -> page_data.Authority:
        authority = self._authorities[name]
        ca = authority.signing_ca
        return page_data.Authority(
            name=name,
            cas=tuple(page_data.cas(ca, now)),
            has_chain=bool(ca.at(now).chain),
            schemes=authority.methods.schemes,
            policy=self._policy(authority) if self._mode == "full" else None,
            renew=f"v1/renew/{name}" if authority.renewals.settings.enabled else None,
            est=label_path(name),
        )

    def _policy(self, authority: RegistrationAuthority) -> page_data.PolicySummary:
        # Cached: a policy does not change, and can list ten thousand names.
        policy = self._policies.get(authority.name)
        if policy is None:
            policy = self._policies[authority.name] = page_data.PolicySummary.of(authority)
        return policy


@functools.cache
def templates() -> Mapping[str, Template]:
    """The templates of the page, by media type."""
    return MappingProxyType(
        {
            HTML: _template("page.html", "h"),
            # Plain text needs no escaping: all values are printable already.
            TEXT: _template("page.txt", "str"),
        }
    )


def _template(name: str, *filters: str) -> Template:
    return Template(_read(name), default_filters=list(filters), strict_undefined=True)  # noqa: S702


@functools.cache
def style_sheet() -> str:
    """The style sheet that the page includes."""
    return _read("style.css")


@functools.cache
def style_sheet_digest() -> str:
    """The hash source of the style sheet in a Content-Security-Policy."""
    digest = hashlib.sha256(style_sheet().encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _read(name: str) -> str:
    return resources.files("anchor.web.pages").joinpath(name).read_text(encoding="utf-8")
