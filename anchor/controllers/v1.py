"""``/v1/``: Anchor's own protocol."""

from __future__ import annotations

from collections.abc import Mapping

import pecan
from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.controllers.ca import show_ca
from anchor.controllers.methods import READ, current_request
from anchor.controllers.renew import renew
from anchor.controllers.sign import sign
from anchor.errors import UnknownAuthority
from anchor.metrics.registry import Metrics
from anchor.web.settings import WebSettings


class V1Controller:
    """``/v1/sign/``, ``/v1/renew/`` and ``/v1/ca/``, each with the name of an authority."""

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        metrics: Metrics,
    ):
        self._authorities = authorities
        self._web = web
        self._metrics = metrics

    @pecan.expose()
    def sign(self, name: str) -> Response:
        """The certificate for the submitted request."""
        authority = self._authority(name)
        request = current_request("POST")
        return sign(request, authority, self._web, self._metrics)

    @pecan.expose()
    def renew(self, name: str) -> Response:
        """The next certificate for the holder of one."""
        authority = self._authority(name)
        request = current_request("POST")
        return renew(request, authority, self._web, self._metrics)

    @pecan.expose()
    def ca(self, name: str) -> Response:
        """The certificate of the CA that signs for the authority."""
        authority = self._authority(name)
        request = current_request(*READ)
        return show_ca(request, authority)

    def _authority(self, name: str) -> RegistrationAuthority:
        try:
            return self._authorities[name]
        except KeyError:
            raise UnknownAuthority("there is no such registration authority") from None
