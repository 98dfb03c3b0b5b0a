"""The doors of the service: paths and methods, and what lies behind each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from anchor.authority import RegistrationAuthority
from anchor.controllers import front, health, metrics
from anchor.controllers.ca import show_ca
from anchor.controllers.sign import sign
from anchor.errors import UnknownAuthority, WrongMethod
from anchor.metrics.registry import Metrics
from anchor.web.pages.front_page import FrontPage, style_digest, templates
from anchor.web.readiness import Readiness
from anchor.web.request import Request
from anchor.web.responses import Application, Response, respond
from anchor.web.settings import WebSettings

Handler = Callable[[Request], Application]
READ = ("GET", "HEAD")


@dataclass(frozen=True)
class Root:
    """Finds what answers a path.  Paths are compared whole: nothing in them is interpreted."""

    authorities: Mapping[str, RegistrationAuthority]
    web: WebSettings
    metrics: Metrics
    readiness: Readiness

    def __post_init__(self) -> None:
        if self.web.front_page != "off":
            # Now, because the package's files may be out of reach later.
            templates()
            style_digest()

    @cached_property
    def front(self) -> FrontPage:
        """The front page."""
        return FrontPage(self.authorities, self.web.front_page)

    def find(self, method: str, path: str) -> Handler:
        """What answers the path.

        Raises:
            UnknownAuthority: nothing does.
            WrongMethod: something does, but not to that method.
        """
        match path.split("/"):
            case ["", "v1", "sign", name] if name in self.authorities:
                authority = self.authorities[name]
                _allow(method, ("POST",))
                return lambda request: sign(request, authority, self.web, self.metrics)
            case ["", "v1", "ca", name] if name in self.authorities:
                authority = self.authorities[name]
                _allow(method, READ)
                return lambda request: show_ca(request, authority)
            case ["", "v1", "sign" | "ca", _]:
                raise UnknownAuthority("there is no such registration authority")
            case ["", name] if (handler := self._find_at_the_top(name)) is not None:
                _allow(method, READ)
                return handler
            case _:
                raise UnknownAuthority("there is nothing here")

    def _find_at_the_top(self, name: str) -> Handler | None:
        match name:
            case "" if self.web.front_page != "off":
                return lambda request: front.show(request, self.front, self.authorities)
            case "robots.txt":
                return keep_robots_out
            case "healthz":
                return health.alive
            case "readyz":
                return lambda request: health.ready(request, self.readiness)
            case "metrics":
                networks = self.web.metrics_networks
                return lambda request: metrics.show(request, self.metrics, networks)
            case _:
                return None


def _allow(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        raise WrongMethod(allowed)


def keep_robots_out(request: Request) -> Response:
    """Nothing here is for a search engine."""
    return respond(request, b"User-agent: *\nDisallow: /\n", "text/plain")
