"""The root controller: the front page, health and metrics; ``/v1/``, EST and ACME are below it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property

import pecan
from webob import Response

from anchor.acme.services import AcmeByAuthority
from anchor.authority import RegistrationAuthority
from anchor.controllers import front, health, metrics
from anchor.controllers.acme.door import AcmeController
from anchor.controllers.est import WellKnownController
from anchor.controllers.methods import READ, current_request
from anchor.controllers.v1 import V1Controller
from anchor.errors import UnknownPath
from anchor.metrics.registry import Metrics
from anchor.web.pages.error_page import BASE_URL
from anchor.web.pages.front_page import FrontPage
from anchor.web.pages.templates import load_templates, read
from anchor.web.readiness import Readiness
from anchor.web.responses import respond
from anchor.web.settings import WebSettings


class RobotsController:
    """``/robots.txt``: a separate controller, because the path is not a Python name."""

    @pecan.expose()
    def index(self) -> Response:
        """The rule that keeps search engines out."""
        request = current_request(*READ)
        return respond(request, b"User-agent: *\nDisallow: /\n", "text/plain")


class OpenApiController:
    """``/openapi.yaml``: a separate controller, because the path is not a Python name."""

    @pecan.expose()
    def index(self) -> Response:
        """The description of the service's HTTP API for programs."""
        request = current_request(*READ)
        # Without a URL, its paths begin at the root of the host.
        base_url: str | None = request.environ.get(BASE_URL)
        description = _openapi().replace("\n  - url: /\n", f"\n  - url: {base_url or '/'}\n", 1)
        return respond(request, description.encode(), "application/yaml")


@cache
def _openapi() -> str:
    return read("openapi.yaml")


class RootController:
    """``/``; to add a path, add an exposed method or a controller as an attribute."""

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        counts: Metrics,
        readiness: Readiness,
        acme: AcmeByAuthority,
    ):
        self.v1 = V1Controller(authorities, web, counts)
        # The path is not a Python name.
        setattr(self, ".well-known", WellKnownController(authorities, web, counts))
        self._acme = AcmeController(acme, web, counts)
        self._authorities = authorities
        self._web = web
        self._metrics = counts
        self._readiness = readiness
        self._acme_services = acme
        # At start-up: the package's files may be unreadable later.
        load_templates()
        _openapi()

    @cached_property
    def _front(self) -> FrontPage:
        return FrontPage(self._authorities, self._web, self._acme_services)

    @pecan.expose()
    def index(self) -> Response:
        """The front page."""
        if self._web.front_page == "off":
            raise UnknownPath("there is nothing here")
        request = current_request(*READ)
        return front.show(request, self._front, self._authorities, self._web.base_url)

    @pecan.expose()
    def acme(self, *segments: str) -> Response:
        """A resource of ACME, at the authority that the first segment names."""
        # Each resource has methods of its own.
        return self._acme.handle(current_request(), segments)

    @pecan.expose()
    def healthz(self) -> Response:
        """Whether the service responds."""
        request = current_request(*READ)
        return health.alive(request)

    @pecan.expose()
    def readyz(self) -> Response:
        """Whether certificates can be issued now."""
        request = current_request(*READ)
        return health.ready(request, self._readiness)

    @pecan.expose()
    def metrics(self) -> Response:
        """The metrics, for Prometheus."""
        request = current_request(*READ)
        return metrics.show(request, self._metrics, self._web.metrics_networks)


pecan.route(RootController, "robots.txt", RobotsController())
pecan.route(RootController, "openapi.yaml", OpenApiController())
