"""A TLS server that loads its certificate at its start, and again after SIGHUP."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys

from cryptography import x509

from tests.support.servers.processes import wait_for

_PROGRAM = """
import os, pathlib, signal, socket, ssl, sys
certificate, key, pid_file, port_file = sys.argv[1:]
fresh = None
def load(*_):
    global fresh
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fresh.load_cert_chain(certificate, key)
load()
signal.signal(signal.SIGHUP, load)
listener = socket.create_server(("127.0.0.1", 0))
pathlib.Path(pid_file).write_text(str(os.getpid()))
pathlib.Path(port_file).write_text(str(listener.getsockname()[1]))
while True:
    plain, _ = listener.accept()
    plain.settimeout(20)
    try:
        with fresh.wrap_socket(plain, server_side=True) as stream:
            stream.sendall(b"hello")
    except OSError:
        plain.close()
"""


class TLSServer:
    """A TLS server that runs until the end of the block."""

    def __init__(self, path, certificate, key):
        self.pid_file = path / "server.pid"
        self._port_file = path / "server.port"
        self._arguments = [certificate, key, self.pid_file, self._port_file]
        self._process = None

    @property
    def port(self):
        return int(self._port_file.read_text())

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *map(str, self._arguments)]
        )
        wait_for(
            lambda: self._port_file.exists() and self._port_file.read_text(),
            self._process,
            "the TLS server",
        )
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)


def handshake(port, ca_file):
    """Connect with TLS, verify the server's certificate for localhost, and return it."""
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        assert stream.recv(5) == b"hello"
        return x509.load_der_x509_certificate(stream.getpeercert(binary_form=True))
