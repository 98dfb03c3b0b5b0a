"""The WSGI application: settings in, certificates out."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pecan.core import ExplicitPecan
from pecan.hooks import PecanHook
from webob import Response

from anchor import config_file, logs, plugins, problems, settings, stopping
from anchor.controllers import Handler, Root, WebSettings
from anchor.controllers.request import TRUSTED_PROXIES, Request
from anchor.metrics import place
from anchor.metrics.measures import Metrics
from anchor.readiness import Readiness
from anchor.registration_authority import RegistrationAuthority

LOG = logging.getLogger(__name__)


class ProblemHook(PecanHook):  # type: ignore[misc]  # pecan has no types
    """Whatever goes wrong is answered by the one table of problems."""

    def on_error(self, state: Any, error: Exception) -> Response:
        """The answer for an error."""
        return problems.answer(error, state.request)


class Application(ExplicitPecan):  # type: ignore[misc]  # pecan has no types
    """Pecan's life of a request, with paths and arguments found by :class:`Root`.

    Pecan itself walks the attributes of controllers by what stands in the path, and decodes forms
    into arguments before a controller is asked; doc/adr/0001 says why neither is wanted here.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        metrics: Metrics | None = None,
    ):
        super().__init__(
            Root(
                authorities, web, metrics or Metrics(authorities), Readiness(authorities.values())
            ),
            hooks=[ProblemHook()],
            request_cls=Request,
            force_canonical=False,
        )
        self._trusted_proxies = web.trusted_proxies

    def find_controller(self, state: Any) -> tuple[Handler, list[Any], dict[str, Any]]:
        """The handler for a path, to be given nothing but the request."""
        request = state.request
        handler = self.root.find(request.method, request.environ.get("PATH_INFO", ""))
        state.controller = handler
        return handler, [request], {}

    def invoke_controller(
        self, controller: Handler, args: list[Any], kwargs: dict[str, Any], state: Any
    ) -> None:
        """Ask the handler; its answer is complete."""
        state.response = controller(*args, **kwargs)

    def _handle_empty_response_body(self, state: Any) -> None:
        """Nothing: Pecan looks whether an answer turned out empty, and none is here."""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer, whatever happens: a server makes an empty reply of an exception."""
        environ[TRUSTED_PROXIES] = self._trusted_proxies
        logs.REQUEST_ID.set(Request(environ).request_id)
        try:
            reply: Iterable[bytes] = super().__call__(environ, start_response)
        except Exception as error:  # noqa: BLE001  # this is the last place to answer anything
            response = problems.answer(error, Request(environ))
            reply = response(environ, start_response)
        finally:
            logs.REQUEST_ID.set(None)
        return reply


def setup_app(config: Any) -> Application:
    """The application that ``config.py`` and ``config.json`` describe; Pecan calls this.

    Raises:
        ConfigurationError: with everything that is wrong with either.
    """
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    if values.get("logging"):
        logging.config.dictConfig({"version": 1, **values["logging"]})
    web = plugins.prove(WebSettings, values.get("web", {}), Path())
    path = config_file.find()
    proved = settings.load(path)
    for warning in proved.warnings:
        LOG.warning("%s", warning)
    LOG.info("%s: serving %s", path, ", ".join(sorted(proved.authorities)))
    counted_in = place.prepare(web.metrics_directory, path)
    stopping.finish_what_runs()
    return Application(proved.authorities, web, Metrics(proved.authorities, counted_in))
