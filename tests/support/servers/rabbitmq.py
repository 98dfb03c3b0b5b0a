"""RabbitMQ on loopback, with its own directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.servers.processes import free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ:
    """A broker that keeps its data when it is stopped and started again."""

    def __init__(self, path):
        self.path = path
        self.port, self.dist_port, self.epmd_port = free_port(), free_port(), free_port()
        self.url = f"rabbit://guest:guest@127.0.0.1:{self.port}/"
        self._epmd = None
        self._server = None
        (path / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "loopback_users = none\nlog.console = true\nlog.file = false\n"
        )
        (path / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "HOME": str(path),
            "PATH": os.environ["PATH"],
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"),
            "RABBITMQ_MNESIA_DIR": str(path / "mnesia/n"),
            "RABBITMQ_LOG_BASE": str(path / "log"),
            "RABBITMQ_CONFIG_FILE": str(path / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def start(self):
        assert SERVER.exists(), "the Debian package rabbitmq-server is missing"
        if self._epmd is None:
            # If the server started epmd, epmd would keep running after the test.
            epmd = shutil.which("epmd")
            assert epmd, "the Debian package erlang-base is missing"
            self._epmd = subprocess.Popen([epmd], env=self._environment)
        with (self.path / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [SERVER],
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self._server.poll() is None, (self.path / "output").read_text()[-4000:]
            assert time.monotonic() < deadline, (self.path / "output").read_text()[-4000:]
            time.sleep(0.1)

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) != b""
        except OSError:
            return False

    def stop(self):
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def end(self):
        self.stop()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A running broker; a test that stops it has to start it again."""
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.end()
