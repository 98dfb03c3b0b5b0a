"""The front page: what the service is, its authorities, and how to ask them."""

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
from anchor.policy.description import summary
from anchor.timestamps import timestamp, utc_now
from anchor.web.pages import facts
from anchor.web.settings import Shown

HTML, TEXT, JSON = "text/html", "text/plain", "application/json"

# With more authorities than this the page has their names, and each of them a page of its own.
MANY = 20


@dataclass(frozen=True)
class Rendered:
    """A page but for the URL by which the client knows the service, and until when it is true."""

    minute: datetime.datetime
    parts: tuple[str, ...]
    etag: str

    def at(self, url: str) -> bytes:
        """The page as a client sees it."""
        return url.join(self.parts).encode()


class FrontPage:
    """The pages of a service; made once, they change by the minute at most.

    Args:
        authorities: by their names.
        shown: ``full``, or ``short`` for pages that keep the policies to themselves.
        clock: tells the time, in UTC.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        shown: Shown = "full",
        clock: Callable[[], datetime.datetime] = utc_now,
    ):
        self._authorities = authorities
        self._shown = shown
        self._clock = clock
        self._demands: dict[str, facts.Demands] = {}
        self._pages: dict[tuple[str, str | None], Rendered] = {}
        # What stands for the URL cannot be in a certificate's subject, or in a name, by design.
        self._url = secrets.token_hex(16)

    def page(self, media_type: str, name: str | None = None) -> Rendered:
        """The page about one authority, or about all of them.

        Args:
            media_type: ``text/html``, ``text/plain`` or ``application/json``.
            name: that of an authority there is.
        """
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        page = self._pages.get((media_type, name))
        if page is None or page.minute != minute:
            page = self._pages[media_type, name] = self._render(media_type, name, now, minute)
        return page

    def _render(
        self, media_type: str, name: str | None, now: datetime.datetime, minute: datetime.datetime
    ) -> Rendered:
        listed = sorted(self._authorities) if name is None else [name]
        brief = len(listed) > MANY
        shown = [] if brief else [self._authority(each, now) for each in listed]
        if media_type == JSON:
            # A document of names is for programs to read on with.
            authorities = [{"name": each, "page": f"?authority={each}"} for each in listed]
            document = {
                "service": "anchor",
                "authorities": authorities if brief else [facts.as_json(each) for each in shown],
            }
            text = json.dumps(document)
        else:
            text = templates()[media_type].render(
                names=listed if brief else (),
                authorities=shown,
                alone=name is not None,
                url=self._url,
                style=style(),
                always=summary.describe_mandatory_checks()
                if self._shown == "full" and shown
                else "",
                timestamp=timestamp,
            )
        digest = hashlib.sha256(text.replace(self._url, "").encode()).hexdigest()
        return Rendered(minute, tuple(text.split(self._url)), digest[:32])

    def _authority(self, name: str, now: datetime.datetime) -> facts.Authority:
        authority = self._authorities[name]
        ca = authority.signing_ca
        return facts.Authority(
            name,
            tuple(facts.cas(ca, now)),
            bool(ca.at(now).chain),
            self._demands_of(authority) if self._shown == "full" else None,
        )

    def _demands_of(self, authority: RegistrationAuthority) -> facts.Demands:
        """Found out once: a policy can have ten thousand names in it, and does not change."""
        found = self._demands.get(authority.name)
        if found is None:
            found = self._demands[authority.name] = facts.Demands.of(authority)
        return found


@functools.cache
def templates() -> Mapping[str, Template]:
    """The pages' templates, by media type, as they are installed."""
    return MappingProxyType(
        {
            HTML: _template("page.html", "h"),
            # There is nothing to escape in plain text: what it is made of is printable.
            TEXT: _template("page.txt", "str"),
        }
    )


def _template(name: str, *filters: str) -> Template:
    return Template(_read(name), default_filters=list(filters), strict_undefined=True)  # noqa: S702


@functools.cache
def style() -> str:
    """The style sheet that stands in the page."""
    return _read("style.css")


@functools.cache
def style_digest() -> str:
    """What a Content-Security-Policy calls the style sheet by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode("ascii")


def _read(name: str) -> str:
    return resources.files("anchor.web.pages").joinpath(name).read_text(encoding="utf-8")
