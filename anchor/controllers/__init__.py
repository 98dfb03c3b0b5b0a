"""The doors of the service: paths and methods, and what lies behind each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Annotated

import pydantic

from anchor.controllers import front, health, metrics
from anchor.controllers.ca import show_ca
from anchor.controllers.request import Request
from anchor.controllers.responses import Application, Response, respond
from anchor.controllers.sign import sign
from anchor.errors import UnknownAuthority, WrongMethod
from anchor.front_page import FrontPage, Shown, style_digest, templates
from anchor.metrics.measures import Metrics
from anchor.options import FilePath, Network
from anchor.readiness import Readiness
from anchor.registration_authority import RegistrationAuthority

Handler = Callable[[Request], Application]
READ = ("GET", "HEAD")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


class WebSettings(pydantic.BaseModel):
    """The ``web`` section of ``config.py``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: Annotated[int, pydantic.Field(ge=1024, le=1 << 24)] = pydantic.Field(
        65536, description="the largest request body to accept"
    )
    body_seconds: Annotated[float, pydantic.Field(gt=0, le=3600)] = pydantic.Field(
        10, description="how many seconds a request body may take to arrive"
    )
    trusted_proxies: tuple[Network, ...] = pydantic.Field(
        (), description="the peers, as networks, whose ``X-Forwarded-For`` is believed"
    )
    metrics_networks: tuple[Network, ...] = pydantic.Field(
        LOOPBACK, description="the clients, as networks, that may read ``/metrics``"
    )
    metrics_directory: FilePath | None = pydantic.Field(
        None,
        description="where the processes keep what they count, so that it outlives a restart; by "
        "default in a directory below that for passing files, of the service's own, and counts "
        "start at zero with it",
    )
    front_page: Shown = pydantic.Field(
        "full", description="how much the front page tells: full, short (no policies) or off"
    )


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
