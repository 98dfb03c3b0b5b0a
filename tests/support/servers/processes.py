"""Starting real servers, waiting until they respond, and stopping them."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE = 60


def free_port():
    """A port that nothing uses, below those that Linux gives to clients meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("", port))
            return port


def program(name, package):
    """The path of a program; if it is missing, the test fails with the name of the package."""
    beside_python = Path(sys.executable).with_name(name)
    path = str(beside_python) if beside_python.exists() else shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: install the package {package}")
    return path


def wait_for(condition, process=None, what="the condition"):
    """Wait until the condition is true and return its result; fail after a minute."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        if process is not None and process.poll() is not None:
            pytest.fail(f"{process.args[0]} ended with {process.returncode} before {what}")
        time.sleep(0.05)
    pytest.fail(f"waited for {what} in vain")


def listens(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def answers(port, host="127.0.0.1"):
    """True if an HTTP server responds."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(host, port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", "/robots.txt")
            return connection.getresponse().read() is not None
    return False


@contextlib.contextmanager
def _log_shown(log):
    """Show the end of a log if the block fails: its directory may be gone when somebody looks."""
    try:
        yield
    except pytest.fail.Exception:
        sys.stdout.write(log.read_text(errors="replace")[-4000:])
        raise


@contextlib.contextmanager
def running(arguments, *, log, ready, stop=signal.SIGTERM, **popen):
    """Run a server until the end of the block, which begins when the server is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **popen,
        )
        try:
            with _log_shown(log):
                wait_for(ready, process, f"{arguments[0]} to be ready (its log: {log})")
            yield process
        finally:
            end(process, stop)


def end(process, number):
    """Stop a process, and kill its session if it does not end.

    The signal is sent several times, because uwsgi ignores it during its start.
    """
    for _ in range(PATIENCE):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def children(pid):
    """The ids of the process' children; empty if it has ended."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid):
    """The ids of the process and its descendants."""
    return [pid, *(found for child in children(pid) for found in descendants(child))]


def alive(pids):
    """The processes that still run; a zombie has ended."""
    states = {pid: _state(pid) for pid in pids}
    return [pid for pid, state in states.items() if state not in ("", "Z")]


def _state(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""
