"""The front page: the service, its authorities, and how to request a certificate."""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import anchor
from anchor.acme.services import AcmeByAuthority
from anchor.acme.urls import AcmeUrls
from anchor.authority import RegistrationAuthority
from anchor.est.paths import label_path
from anchor.policy.description import summary
from anchor.policy.example.request import ExampleRequest, example_key, example_request
from anchor.timestamps import timestamp, utc_now
from anchor.web.pages import page_data
from anchor.web.pages.commands import Doors, ways
from anchor.web.pages.templates import script, style_sheet, template
from anchor.web.settings import WebSettings

HTML, TEXT, JSON = "text/html", "text/plain", "application/json"
TEMPLATES = {HTML: "page.html", TEXT: "page.txt"}

# With more authorities than this, the page lists their names and links to a page for each.
MAX_DETAILED = 20


@dataclass(frozen=True)
class RenderedPage:
    """A page without the service's URL, which differs between clients.

    Attributes:
        minute: the minute for which the page was rendered.
        parts: the text, split where the URL belongs.
        insecure: stands for the option that is needed if the URL has no TLS.
        etag: the entity tag.
    """

    minute: datetime.datetime
    parts: tuple[str, ...]
    insecure: str
    etag: str

    def at(self, url: str) -> bytes:
        """The page with the service's URL, in UTF-8."""
        option = " --allow-http" if url.startswith("http:") else ""
        return url.join(self.parts).replace(self.insecure, option).encode()


class FrontPage:
    """The pages of a service, rendered at most once a minute.

    Args:
        authorities: the authorities by their names.
        web: the ``web`` section of ``config.py``.
        acme: the authorities with ACME by their names.
        clock: the time in UTC.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        acme: AcmeByAuthority = MappingProxyType({}),
        clock: Callable[[], datetime.datetime] = utc_now,
    ):
        self._authorities = authorities
        self._web = web
        self._acme = acme
        self._clock = clock
        self._policies: dict[str, page_data.PolicySummary] = {}
        self._examples: dict[str, ExampleRequest] = {}
        self._pages: dict[tuple[str, str | None], RenderedPage] = {}
        # Random, so that no certificate's subject and no name can contain them.
        self._url_placeholder = secrets.token_hex(16)
        self._insecure_placeholder = secrets.token_hex(16)

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
                "version": anchor.__version__,
                "openapi": "openapi.yaml",
                "authorities": links if names_only else list(map(page_data.as_json, authorities)),
            }
            if self._web.documentation_url is not None:
                document["documentation"] = self._web.documentation_url
            text = json.dumps(document)
        else:
            text = template(TEMPLATES[media_type]).render(
                names=names if names_only else (),
                authorities=authorities,
                alone=name is not None,
                url=self._url_placeholder,
                style=style_sheet(),
                script=script(),
                version=anchor.__version__,
                documentation=self._web.documentation_url,
                always=summary.describe_mandatory_checks()
                if self._shows_policies and authorities
                else (),
                timestamp=timestamp,
            )
        parts = text.split(self._url_placeholder)
        content = "".join(parts).replace(self._insecure_placeholder, "")
        digest = hashlib.sha256(content.encode()).hexdigest()
        return RenderedPage(minute, tuple(parts), self._insecure_placeholder, digest[:32])

    def _authority(self, name: str, now: datetime.datetime) -> page_data.Authority:
        authority = self._authorities[name]
        ca = authority.signing_ca
        policy = self._policy(authority) if self._shows_policies else None
        example = self._example(authority)
        doors = self._doors(authority)
        return page_data.Authority(
            name=name,
            cas=tuple(page_data.cas(ca, now)),
            has_chain=bool(ca.at(now).chain),
            schemes=authority.methods.schemes,
            policy=policy,
            renew=f"v1/renew/{name}" if doors.renews else None,
            est=doors.est,
            acme=doors.acme,
            hint="" if example.is_certain else page_data.UNCERTAIN,
            ways=ways(example, doors),
        )

    @property
    def _shows_policies(self) -> bool:
        return self._web.front_page == "full"

    def _doors(self, authority: RegistrationAuthority) -> Doors:
        acme = self._acme.get(authority.name)
        base_url = self._web.base_url
        has_acme = acme is not None and base_url is not None
        return Doors(
            name=authority.name,
            url=self._url_placeholder,
            insecure=self._insecure_placeholder,
            kinds=tuple(each.credential for each in authority.methods.authenticators),
            schemes=authority.methods.schemes,
            renews=authority.renewals.settings.enabled,
            est=label_path(authority.name),
            acme=AcmeUrls.of(str(base_url), authority.name).directory if has_acme else None,
            acme_is_open=acme is not None and acme.settings.open,
        )

    def _policy(self, authority: RegistrationAuthority) -> page_data.PolicySummary:
        # Cached: a policy does not change, and can list ten thousand names.
        policy = self._policies.get(authority.name)
        if policy is None:
            policy = self._policies[authority.name] = page_data.PolicySummary.of(authority)
        return policy

    def _example(self, authority: RegistrationAuthority) -> ExampleRequest:
        if not self._shows_policies:
            # A name or an attribute would show the policy.
            key = example_key(authority.policy.allowed_keys)
            return ExampleRequest(key, is_certain=False)
        example = self._examples.get(authority.name)
        if example is None:
            example = example_request(authority.policy, authority.conf)
            self._examples[authority.name] = example
        return example
