"""The settings in ``config.py``, for commands that do not serve."""

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from anchor.config.config_py import describe_failed_run, find_config_py, require_application
from anchor.config.diagnostics import Diagnostics
from anchor.config.plugins import validate_options
from anchor.errors import ConfigurationError
from anchor.web.settings import WebSettings


class ConfigPy(NamedTuple):
    """The settings in ``config.py``.

    Attributes:
        host: the address to listen on, if it is set.
        web: the ``web`` section.
        logging: the ``logging`` section, if there is one.
        exists: False if ``config.py`` was not found.
    """

    host: str | None
    web: WebSettings
    logging: Mapping[str, Any] | None
    exists: bool = True


def read(config_json: Path) -> ConfigPy:
    """Run ``config.py`` and return its settings.

    Args:
        config_json: the path of ``config.json``, beside which ``config.py`` may be.

    Raises:
        ConfigurationError: it cannot be run, or a section is not valid.
    """
    configured = os.environ.get("PECAN_CONFIG")
    try:
        path = Path(configured) if configured else find_config_py(config_json)
    except ConfigurationError:
        # The service may still be started with another path.
        return ConfigPy(None, validate_options(WebSettings, {}, Path()), None, exists=False)
    try:
        values = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise ConfigurationError.about("", describe_failed_run(path, error)) from error
    server, web = values.get("server"), values.get("web", {})
    host = server.get("host") if isinstance(server, dict) else None
    problems = Diagnostics()
    with problems.at():
        require_application(path, values)
    with problems.at("web"):
        settings = validate_options(WebSettings, web, Path())
    logging = values.get("logging") or None
    if not isinstance(logging, Mapping | None):
        problems.add("logging", "should be a dictionary, as logging.config.dictConfig takes it")
    problems.raise_if_any()
    return ConfigPy(host if isinstance(host, str) else None, settings, logging)
