"""``anchor serve``: the service, for development."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pecan
from pecan.commands.serve import ServeCommand
from pecan.configuration import conf_from_file

import anchor
from anchor import config_file
from anchor.cli.check import add_config_option
from anchor.errors import ConfigurationError


def add_to(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "serve",
        help="serve from this machine, for development",
        description="Serve with Pecan's own server, one request at a time. For production there "
        "are uwsgi and gunicorn: see the documentation.",
    )
    add_config_option(parser)
    parser.add_argument("--host", help="address to listen on, if not the one in config.py")
    parser.add_argument("--port", type=int, help="port to listen on, if not the one in config.py")
    parser.set_defaults(run=run)


def run(namespace: argparse.Namespace) -> int:
    """Serve until interrupted."""
    path = namespace.config or config_file.find()
    os.environ["ANCHOR_CONF"] = str(path)
    config = conf_from_file(str(find_config_py(path)))
    if namespace.host is not None:
        config.server.host = namespace.host
    if namespace.port is not None:
        config.server.port = namespace.port
    # The whole Config, as a mapping: pecan.load_app knows this and file names.
    application = pecan.load_app(config.to_dict())
    command = ServeCommand()
    command.args = argparse.Namespace(reload=False)
    command.serve(application, application.config)
    return 0


def find_config_py(config_json: Path) -> Path:
    """``config.py``: beside config.json, or the one that came with the package.

    Raises:
        ConfigurationError: there is none.
    """
    places = (
        config_json.absolute().parent,
        Path(sys.prefix, "etc/anchor"),
        # A checkout that is installed in place.
        Path(anchor.__file__).parent.parent,
    )
    for place in places:
        if (place / "config.py").is_file():
            return place / "config.py"
    raise ConfigurationError.about("", f"there is no config.py in {', '.join(map(str, places))}")
