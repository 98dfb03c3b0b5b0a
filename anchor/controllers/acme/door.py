"""``/acme/<registration authority>/``: the resources, by their paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from webob import Response

from anchor.acme.nonces import Nonces
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import AcmeByAuthority, AcmeServices, is_id
from anchor.acme.urls import AcmeUrls
from anchor.controllers.acme import accounts, certificates, directory, orders
from anchor.controllers.acme.exchange import Exchange
from anchor.controllers.acme.problems import PROBLEM_TYPE, describe_error
from anchor.errors import MAX_SHOWN, UnknownAuthority
from anchor.metrics.registry import Metrics
from anchor.web.request import Request
from anchor.web.responses import respond
from anchor.web.settings import WebSettings

Handler = Callable[..., Response]

# The first segment, and the number of those after it.
_RESOURCES: Mapping[tuple[str, int], Handler] = {
    ("directory", 0): directory.show,
    ("new-nonce", 0): directory.new_nonce,
    ("new-account", 0): accounts.new_account,
    ("account", 1): accounts.account,
    ("key-change", 0): accounts.key_change,
    ("new-order", 0): orders.new_order,
    ("order", 1): orders.order,
    ("authorization", 1): orders.authorization,
    ("challenge", 2): orders.challenge,
    ("certificate", 1): certificates.certificate,
    ("revoke-cert", 0): certificates.revoke,
    ("renewal-info", 1): certificates.renewal_info,
    ("explanation", 1): certificates.explanation,
}
# Those whose third segment is a word: with it, and with the number of segments after the first.
_NAMED: Mapping[tuple[str, str, int], Handler] = {
    ("account", "orders", 2): orders.list_orders,
    ("account", "orders", 3): orders.list_orders,
    ("order", "finalize", 2): orders.finalize,
}
# Those whose second segment is an identifier.
_WITH_ID = frozenset({"account", "order", "authorization", "challenge", "certificate"})


class AcmeController:
    """The directories of all authorities that have a section ``acme``."""

    def __init__(self, services: AcmeByAuthority, web: WebSettings, metrics: Metrics):
        self._services = services
        self._web = web
        self._metrics = metrics
        self._nonces = {
            name: Nonces(each.accounts.database, each.clock) for name, each in services.items()
        }

    def handle(self, request: Request, segments: tuple[str, ...]) -> Response:
        """The response of a resource; every error is a problem document.

        Args:
            request: the HTTP request.
            segments: the name of the authority, and the path below it.
        """
        services = self._services.get(segments[0]) if segments else None
        if services is None:
            return _respond_to_unknown_authority(request, segments)
        exchange = self._exchange(request, services, segments[1:])
        try:
            handler, arguments = _find(segments[1:], exchange.urls)
            return handler(exchange, *arguments)
        except Exception as error:  # noqa: BLE001  # every error has a problem document
            return exchange.respond_to_error(error)

    def _exchange(
        self, request: Request, services: AcmeServices, segments: tuple[str, ...]
    ) -> Exchange:
        name = services.authority.name
        assert self._web.base_url is not None
        return Exchange(
            request=request,
            services=services,
            urls=AcmeUrls.of(self._web.base_url, name),
            nonces=self._nonces[name],
            web=self._web,
            metrics=self._metrics,
            path="".join(f"/{segment}" for segment in segments),
        )


def _respond_to_unknown_authority(request: Request, segments: tuple[str, ...]) -> Response:
    """A problem document without the links to a directory, because there is none."""
    name = segments[0][:MAX_SHOWN] if segments else ""
    error = UnknownAuthority(f"there is no registration authority {name!a} with ACME")
    problem = describe_error(error, request)
    body = json.dumps(problem.document).encode("ascii")
    return respond(request, body, PROBLEM_TYPE, problem.status)


def _find(segments: tuple[str, ...], urls: AcmeUrls) -> tuple[Handler, tuple[str, ...]]:
    """The handler of a path, and its arguments."""
    name, arguments = segments[0] if segments else "", segments[1:]
    handler = _RESOURCES.get((name, len(arguments)))
    if len(arguments) > 1 and (named := _NAMED.get((name, arguments[1], len(arguments)))):
        handler, arguments = named, (arguments[0], *arguments[2:])
    if handler is None or (name in _WITH_ID and not is_id(arguments[0])):
        raise AcmeProblem(
            ProblemType.NOT_FOUND,
            f"there is no such resource: the directory {urls.directory} lists the resources",
        )
    return handler, arguments
