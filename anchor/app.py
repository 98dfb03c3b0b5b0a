"""The WSGI application, made from ``config.py`` and ``config.json``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pecan

from anchor import logs
from anchor.acme.services import AcmeByAuthority
from anchor.audit import log_configuration
from anchor.authorities import load_authorities
from anchor.authority import RegistrationAuthority
from anchor.config.document import find_config
from anchor.config.plugins import validate_options
from anchor.controllers.root import RootController
from anchor.errors import ConfigurationError
from anchor.metrics.registry import Metrics
from anchor.runtime import pecan_serve, process_directory, server, startup
from anchor.runtime.graceful_shutdown import install
from anchor.runtime.load_record import LoadRecord
from anchor.store.ban_file import prepare_database
from anchor.web.client_certificate import HEADER
from anchor.web.dispatch import StrictDispatch
from anchor.web.pages.error_page import BASE_URL, HAS_FRONT_PAGE
from anchor.web.problems import respond_to_error
from anchor.web.readiness import Readiness
from anchor.web.request import TRUSTED_PROXIES, Request, request_id
from anchor.web.settings import WebSettings, require_base_url

LOG = logging.getLogger(__name__)


class Application(pecan.Pecan, StrictDispatch):  # type: ignore[misc]  # pecan has no types
    """A Pecan application with strict dispatch and Anchor's error responses.

    Args:
        authorities: the registration authorities by name.
        web: the ``web`` section of ``config.py``.
        metrics: the counters; by default those of this process alone.
        hooks: Pecan hooks, ``app["hooks"]`` in ``config.py``.
        acme: the authorities with ACME by name; ``web.base_url`` is needed for them.
        loads: the record of when the configuration was loaded.
    """

    def __init__(
        self,
        authorities: Mapping[str, RegistrationAuthority],
        web: WebSettings,
        metrics: Metrics | None = None,
        hooks: Sequence[Any] = (),
        *,
        acme: AcmeByAuthority = MappingProxyType({}),
        loads: LoadRecord | None = None,
    ):
        self._loads = loads or LoadRecord()
        counts = metrics or Metrics(authorities, acme=acme, loads=self._loads)
        readiness = Readiness(authorities.values(), loads=self._loads)
        super().__init__(
            RootController(authorities, web, counts, readiness, acme),
            request_cls=Request,
            hooks=list(hooks),
        )
        self._settings = {
            TRUSTED_PROXIES: web.trusted_proxies,
            HEADER: web.client_certificate_header,
            HAS_FRONT_PAGE: web.front_page != "off",
            BASE_URL: web.base_url,
        }

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Respond to a request, also after an error, for which servers send no response."""
        environ |= self._settings
        self._loads.remind()
        logs.REQUEST_ID.set(request_id(environ))
        try:
            reply: Iterable[bytes] = super().__call__(environ, start_response)
        except Exception as error:  # noqa: BLE001  # every error has a response
            reply = respond_to_error(error, Request(environ))(environ, start_response)
        finally:
            logs.REQUEST_ID.set(None)
        return reply


def setup_app(config: Any) -> Application:
    """Make the application from ``config.py`` and ``config.json``; Pecan calls this.

    Raises:
        ConfigurationError: with all problems of the configuration.
        SystemExit: the same without a traceback, under ``pecan serve``.
    """
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    loads = record_of_service()
    try:
        if pecan_serve.is_serving():
            pecan_serve.prepare(values.get("server", {}))
        application = _application(values, loads)
    except BaseException as error:
        loads.failed()
        if isinstance(error, ConfigurationError) and loads.failed_since() is not None:
            startup.end_worker_later(error, _config_json())
        if pecan_serve.is_serving() and isinstance(error, ConfigurationError):
            raise SystemExit(f"anchor: {error}") from None
        raise
    loads.succeeded()
    return application


def record_of_service() -> LoadRecord:
    """The record of when the processes of this service loaded their configuration."""
    return LoadRecord.of_service(_config_json())


def _config_json() -> Path:
    try:
        return find_config()
    except ConfigurationError:
        # It is gone; most services have it where they start.
        return Path("config.json")


def _warn_of_ambiguous_header(header: str | None) -> None:
    """Log that two headers have one variable, unless the server drops names with underscores."""
    if header and "-" in header and (server.uwsgi() is not None or pecan_serve.is_serving()):
        LOG.warning(
            "this server does not tell %s from %s: if the proxy passes that header of a client on, "
            "anyone can renew any certificate, so let 'client_certificate_header' be a name "
            "without hyphens, such as %s",
            header,
            header.replace("-", "_"),
            header.replace("-", ""),
        )


def _application(values: Mapping[str, Any], loads: LoadRecord) -> Application:
    if values.get("logging"):
        log_configuration.apply(values["logging"])
    web = validate_options(WebSettings, values.get("web", {}), Path())
    path = find_config()
    try:
        loaded = load_authorities(path)
        prepare_database(loaded.database, loaded.ban_file)
    except ConfigurationError as error:
        startup.end_if_final(error)
        raise
    log_configuration.require_sinks(authority.audit for authority in loaded.authorities.values())
    for warning in loaded.warnings:
        LOG.warning("%s", warning)
    _warn_of_ambiguous_header(web.client_certificate_header)
    LOG.info("%s: serving %s", path, ", ".join(sorted(loaded.authorities)))
    require_base_url(web, loaded.acme)
    metrics_directory = process_directory.prepare(web.metrics_directory, path)
    install()
    return Application(
        loaded.authorities,
        web,
        Metrics(loaded.authorities, metrics_directory, acme=loaded.acme, loads=loads),
        values.get("app", {}).get("hooks", ()),
        acme=loaded.acme,
        loads=loads,
    )
