"""Anchor's detection of the web server, under the real servers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from anchor.runtime import server
from tests.support.servers.processes import answers, free_port, program, running

_APPLICATION = """
import json, os
from anchor.runtime import server

FOUND = {"capacity": server.capacity(), "leader": server.leader()}

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(FOUND | {"pid": os.getpid(), "parent": os.getppid()}).encode()]
"""


@pytest.mark.parametrize(
    ("options", "environment", "configuration", "capacity"),
    [
        ([], {}, "", [1, None]),
        (["--workers", "3"], {}, "", [3, None]),
        (["-w", "3", "--preload"], {}, "", [3, None]),
        (["-w", "2", "--threads", "8"], {}, "", [16, 8]),
        (["-w", "2", "--threads", "8", "--preload"], {}, "", [16, 8]),
        (["-w", "1", "-k", "gthread"], {}, "", [1, 1]),
        ([], {"WEB_CONCURRENCY": "2"}, "", [2, None]),
        ([], {"GUNICORN_CMD_ARGS": "--workers=2 --threads=3"}, "", [6, 3]),
        ([], {}, "workers = 2\nthreads = 4\npreload_app = True\n", [8, 4]),
    ],
)
def test_gunicorn(tmp_path, options, environment, configuration, capacity):
    (tmp_path / "gunicorn.conf.py").write_text(configuration)
    command = [program("gunicorn", "gunicorn, from PyPI"), *options]

    found, process = ask(
        tmp_path, [*command, "--no-control-socket", "--bind"], ["asked:application"], environment
    )

    assert capacity == found["capacity"]
    assert process == found["leader"] == found["parent"]


@pytest.mark.parametrize("lazy", [[], ["--lazy-apps"]])
@pytest.mark.parametrize(
    ("options", "whole"), [(["-p", "3"], 3), (["-p", "2", "--threads", "2"], 4)]
)
def test_uwsgi(tmp_path, options, whole, lazy):
    command = [
        program("uwsgi", "uwsgi, from PyPI"),
        "--master",
        "--die-on-term",
        "--venv",
        sys.prefix,
        *options,
    ]

    found, process = ask(
        tmp_path, [*command, *lazy, "--http-socket"], ["--wsgi-file", "asked.py"], {}
    )

    assert [whole, None] == found["capacity"]
    assert process == found["leader"] == found["parent"]


@pytest.mark.parametrize("lazy", [[], ["--lazy-apps"]])
def test_uwsgi_without_a_master(tmp_path, lazy):
    command = [program("uwsgi", "uwsgi, from PyPI"), "--venv", sys.prefix, "-p", "3", *lazy]

    found, process = ask(tmp_path, [*command, "--http-socket"], ["--wsgi-file", "asked.py"], {})

    assert process == found["leader"]
    assert found["leader"] in (found["pid"], found["parent"])


@contextlib.contextmanager
def ending(session):
    """Kill a session of processes at the end of the block."""
    try:
        yield
    finally:
        os.killpg(session, signal.SIGKILL)


def ask(directory, command, rest, environment):
    """What the application detected, and the process of the server."""
    (directory / "asked.py").write_text(_APPLICATION)
    port = free_port()
    with (
        running(
            [*command, f"127.0.0.1:{port}", *rest],
            log=directory / "server.log",
            ready=lambda: answers(port),
            cwd=directory,
            env={**os.environ, **environment},
        ) as process,
        # Without a master, a signal to the first process does not end uwsgi's other processes.
        ending(process.pid),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer,
    ):
        return json.loads(answer.read()), process.pid


def test_without_a_server_the_capacity_is_unknown():
    code = """if True:
        import os
        from anchor.runtime import server
        print(server.capacity(), server.leader() == os.getpid())
    """
    environment = {k: v for k, v in os.environ.items() if k != "SERVER_SOFTWARE"}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment
    ).stdout

    assert f"{server.Capacity()} True\n" == printed
