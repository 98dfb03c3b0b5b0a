"""The controllers at the top: the front page, health and metrics, and what lies below them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import pecan
from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.controllers import front, health, metrics
from anchor.controllers.methods import READ, require_method
from anchor.controllers.v1 import V1Controller
from anchor.errors import UnknownPath
from anchor.metrics.registry import Metrics
from anchor.web.pages.front_page import FrontPage, style_digest, templates
from anchor.web.readiness import Readiness
from anchor.web.responses import respond
from anchor.web.settings import WebSettings


class RobotsController:
    """``/robots.txt``, which is no Python name."""

    @pecan.expose()
    def index(self) -> Response:
        """Keep robots out: nothing here is for a search engine."""
        require_method(*READ)
        return respond(pecan.request, b"User-agent: *\nDisallow: /\n", "text/plain")


class RootController:
    """``/``: a new path is a new exposed method, or a new controller as an attribute."""

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        counts: Metrics,
        readiness: Readiness,
    ):
        self.v1 = V1Controller(authorities, web, counts)
        self._authorities = authorities
        self._web = web
        self._metrics = counts
        self._readiness = readiness
        if web.front_page != "off":
            # Now, because the package's files may be out of reach later.
            templates()
            style_digest()

    @cached_property
    def _front(self) -> FrontPage:
        return FrontPage(self._authorities, self._web.front_page)

    @pecan.expose()
    def index(self) -> Response:
        """Answer the front page."""
        if self._web.front_page == "off":
            raise UnknownPath("there is nothing here")
        require_method(*READ)
        return front.show(pecan.request, self._front, self._authorities)

    @pecan.expose()
    def healthz(self) -> Response:
        """Answer that the service is alive."""
        require_method(*READ)
        return health.alive(pecan.request)

    @pecan.expose()
    def readyz(self) -> Response:
        """Answer whether certificates can be issued now."""
        require_method(*READ)
        return health.ready(pecan.request, self._readiness)

    @pecan.expose()
    def metrics(self) -> Response:
        """Answer what was counted."""
        require_method(*READ)
        return metrics.show(pecan.request, self._metrics, self._web.metrics_networks)


pecan.route(RootController, "robots.txt", RobotsController())
