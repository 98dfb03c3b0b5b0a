"""Anchor itself, behind the servers that the documentation names."""

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

# As the Dockerfile starts it, and with what else decides which processes load the application.
GUNICORNS = {
    "gunicorn in the image": ("--workers", "2", "--threads", "8"),
    "gunicorn in the image with preload": ("--workers", "2", "--threads", "8", "--preload"),
    "gunicorn with preload": ("--workers", "2", "--preload"),
}


@dataclass(frozen=True)
class Running:
    """A service that listens."""

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
    """The command line of a server, as the documentation has it but for the port."""
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
    """The command line for the shipped ini, with the socket in that directory.

    Args:
        directory: that of the configuration.
        more: further options; those before the ini are the ones that it leaves alone.
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
    """Anchor under one of the servers, with the config.json in that directory.

    Args:
        server: one of :data:`EVERY_SERVER`.
        directory: with the config.json.
        environment: variables to add.
        under: what runs the server, with its arguments.
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
        # A worker that is just being made may miss the signal that stops it, so wait for an answer.
        ready=lambda: answers(port),
        cwd=directory,
        env={**os.environ, **(environment or {})},
    ) as process:
        yield Running(port, directory, process)


@pytest.fixture(params=["pecan", "uwsgi"])
def server(request):
    """The name of each server in turn; a few tests ask for every one that is documented."""
    return request.param
