"""``anchor serve``: run the service for development."""

from __future__ import annotations

import argparse
import os

import pecan
from pecan.commands.serve import ServeCommand
from pecan.configuration import conf_from_file

from anchor.cli import values
from anchor.cli.check import add_config_option
from anchor.config.config_py import find_config_py
from anchor.config.document import find_config


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
    config = conf_from_file(str(find_config_py(path)))
    if namespace.host is not None:
        config.server.host = namespace.host
    if namespace.port is not None:
        config.server.port = namespace.port
    # pecan.load_app() accepts a mapping or a file name, but no Config.
    application = pecan.load_app(config.to_dict())
    command = ServeCommand()
    command.args = argparse.Namespace(reload=False)
    command.serve(application, application.config)
    return 0
