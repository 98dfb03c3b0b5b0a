"""The service, started as the documentation describes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers.processes import answers, free_port, program, running

EVERY_SERVER = ("pecan", "anchor", "uwsgi", "uwsgi.ini", "gunicorn")

# The options in the Dockerfile, and --preload, which changes the process that loads the service.
GUNICORNS = {
    "gunicorn in the image": ("--workers", "2", "--threads", "8"),
    "gunicorn in the image with preload": ("--workers", "2", "--threads", "8", "--preload"),
    "gunicorn with preload": ("--workers", "2", "--preload"),
}


@dataclass(frozen=True)
class Running:
    """A service that accepts requests."""

    port: int
    directory: Path
    process: object

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return (self.directory / "server.log").read_text()


def arguments(server, port, config_py):
    """The documented command line of a server, with another port."""
    if server == "anchor":
        return [program("anchor", "anchor, in place"), "serve", "--port", port]
    if server == "pecan":
        return [program("pecan", "pecan"), "serve", config_py]
    if server == "gunicorn":
        return [
            program("gunicorn", "gunicorn, from PyPI"),
            *("--config", "python:anchor.gunicorn", "--bind", f"127.0.0.1:{port}"),
            *("--workers", "2", "anchor.wsgi:application"),
        ]
    if server in GUNICORNS:
        return [
            program("gunicorn", "gunicorn, from PyPI"),
            *("--bind", f"127.0.0.1:{port}", *GUNICORNS[server], "anchor.wsgi:application"),
        ]
    if server == "uwsgi.ini":
        return [
            *uwsgi_ini(config_py.parent),
            *("--http-socket", f"127.0.0.1:{port}"),
        ]
    return [
        program("uwsgi", "uwsgi, from PyPI"),
        *("--http-socket", f"127.0.0.1:{port}"),
        *("--venv", sys.prefix, "--pecan", config_py, "-p", "4"),
    ]


def uwsgi_ini(directory, *more):
    """The command line for the shipped ini file.

    Args:
        directory: the directory of the configuration; the socket is made in it.
        more: further options; they come before the ini file, which then does not set them.
    """
    return [
        program("uwsgi", "uwsgi, from PyPI"),
        *("--set-placeholder", f"anchor_venv={sys.prefix}"),
        *("--set-placeholder", f"anchor_run={directory}"),
        *more,
        *("--ini", ROOT / "tools/uwsgi/anchor.ini"),
    ]


@contextlib.contextmanager
def serving(server, directory, environment=None, under=()):
    """Run the service under a server until the end of the block.

    Args:
        server: one of :data:`EVERY_SERVER` or of :data:`GUNICORNS`.
        directory: contains config.json.
        environment: additional environment variables.
        under: a program that runs the server, with its arguments.
    """
    port = free_port()
    config_py = directory / "config.py"
    if not config_py.exists():
        shutil.copy(ROOT / "config.py", config_py)
    text = config_py.read_text().replace('"port": "5016"', f'"port": "{port}"')
    config_py.write_text(text)
    with running(
        [*under, *arguments(server, port, config_py)],
        log=directory / "server.log",
        # Wait for a response: a worker that is still starting may ignore the signal that stops it.
        ready=lambda: answers(port),
        cwd=directory,
        env={**os.environ, **(environment or {})},
    ) as process:
        yield Running(port, directory, process)


@pytest.fixture(params=["pecan", "uwsgi"])
def server(request):
    """The name of a server; the test runs with each."""
    return request.param
