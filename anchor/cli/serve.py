"""``anchor serve``: run the service for development."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pecan
from pecan.commands.serve import ServeCommand
from pecan.configuration import conf_from_file

from anchor.cli import values
from anchor.cli.check import add_config_option
from anchor.config.config_py import (
    describe_failed_run,
    find_config_py,
    require_application,
    require_keys,
)
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import find_config
from anchor.errors import ConfigurationError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser.description = (
        "Run the service with the server of Pecan, one request at a time. For "
        "production use uwsgi or gunicorn: see the documentation."
    )
    add_config_option(parser)
    parser.add_argument("--host", help="address to listen on, if not the one in config.py")
    parser.add_argument(
        "--port", type=values.port, help="port to listen on, if not the one in config.py"
    )
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Serve until interrupted."""
    path = namespace.config or find_config()
    os.environ["ANCHOR_CONF"] = str(path)
    config = _read_config_py(find_config_py(path))
    if namespace.host is not None:
        config["server"]["host"] = namespace.host
    if namespace.port is not None:
        config["server"]["port"] = namespace.port
    application = pecan.load_app(config)
    command = ServeCommand()
    command.args = argparse.Namespace(reload=False)
    command.serve(application, application.config)
    return 0


def _read_config_py(path: Path) -> dict[str, Any]:
    """The settings in ``config.py``, of which the server needs two sections.

    Raises:
        ConfigurationError: it cannot be run, or lacks one of them.
    """
    try:
        config: dict[str, Any] = conf_from_file(str(path)).to_dict()
    except (Exception, SystemExit) as error:
        raise ConfigurationError.about("", describe_failed_run(path, error)) from error
    problems = Diagnostics()
    with problems.at():
        require_keys(path, config, "server", "host", "port")
    with problems.at():
        require_application(path, config)
    problems.raise_if_any()
    return config
