"""What ``config.py`` says of the service, for a command that does not serve."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from anchor import plugins
from anchor.cli.serve import find_config_py
from anchor.complaints import Complaints
from anchor.controllers import WebSettings
from anchor.errors import ConfigurationError


def read(config_json: Path) -> tuple[str | None, WebSettings]:
    """The address to listen on, if it has one, and the ``web`` section.

    Args:
        config_json: the configuration that it goes with.

    Raises:
        ConfigurationError: it cannot be run, or its ``web`` section is no good.
    """
    named = os.environ.get("PECAN_CONFIG")
    try:
        path = Path(named) if named else find_config_py(config_json)
    except ConfigurationError:
        # Whoever starts the service with another one knows where that is.
        return None, plugins.prove(WebSettings, {}, Path())
    try:
        values = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise ConfigurationError.about(
            "", f"{path} cannot be run: {type(error).__name__}: {error}"
        ) from error
    server, web = values.get("server"), values.get("web", {})
    host = server.get("host") if isinstance(server, dict) else None
    complaints = Complaints()
    with complaints.at("web"):
        settings = plugins.prove(WebSettings, web, Path())
    complaints.raise_if_any()
    return (host if isinstance(host, str) else None), settings
