"""The service behind HTTPS, in a thread of the test's process."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import socketserver
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.web.settings import WebSettings
from tests.support.pki import CA, DAY, hash_for, key_pem, make_ca, make_key, now, subject


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect, as some tests do."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

    def get_stderr(self):
        """Discard what wsgiref writes about clients that disconnect."""
        return io.StringIO()


@dataclass(frozen=True)
class TLSFiles:
    """The certificate and the key of a server, and the CA that issued it."""

    ca: CA
    certificate: Path
    key: Path


def make_tls(directory, *, name="Private TLS CA", not_after=None, address="127.0.0.1") -> TLSFiles:
    """Make a certificate for localhost, from a CA that no system trusts."""
    directory.mkdir(exist_ok=True)
    ca = make_ca(directory, name=name)
    key = make_key()
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject("localhost"))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - 2 * DAY)
        .not_valid_after(not_after or now() + DAY)
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False
        )
        .sign(ca.key, hash_for(ca.key))
    )
    paths = directory / "server.crt", directory / "server.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key_pem(key))
    return TLSFiles(ca, *paths)


class HTTPSAnchor:
    """A service in a thread.  A test may replace ``wsgi``, and stop and start the service."""

    def __init__(self, path, tls: TLSFiles | None, wsgi):
        self.path = path
        self.tls = tls
        self.wsgi = wsgi
        self.requests = []
        self.port = 0
        self._server = None
        self._thread = None

    def __call__(self, environ, start_response):
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return self.wsgi(environ, start_response)

    @property
    def posted_to(self):
        """The paths of the POST requests."""
        return [path for method, path in self.requests if method == "POST"]

    @property
    def submissions(self):
        """The number of POST requests."""
        return len(self.posted_to)

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        """Listen, on the same port as before."""
        self._server = make_server("127.0.0.1", self.port, self, _Server, _Quiet)
        self.port = self._server.server_port
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        """Close the listener, so that connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def client_json(self, path=None, **changes):
        """Write a client.json with valid credentials; options that are None are left out."""
        directory = self.path
        secret = directory / "secret"
        if not secret.exists():
            secret.write_text("s3cret\n")
            secret.chmod(0o600)
        document = {
            "url": self.url,
            "user": "alice",
            "secret_file": "secret",
            "ca_file": str(self.tls.ca.cert_path) if self.tls else None,
            "timeout": 20,
        } | changes
        path = path or directory / "client.json"
        path.write_text(
            json.dumps({key: value for key, value in document.items() if value is not None})
        )
        return path


@pytest.fixture
def private_tls(tmp_path):
    """A certificate for a server on loopback, from a private CA."""
    return make_tls(tmp_path / "tls")


@pytest.fixture
def https_anchor(tmp_path, document, private_tls):
    """The service of the fixture ``document``, with TLS from a private CA."""
    with running(tmp_path, document, private_tls) as server:
        yield server


@contextlib.contextmanager
def running(path, document, tls, wsgi=None):
    """Run the service until the end of the block."""
    if wsgi is None:
        config = path / "config.json"
        config.write_text(json.dumps(document))
        wsgi = Application(load_authorities(config).authorities, WebSettings())
    server = HTTPSAnchor(path, tls, wsgi)
    server.start()
    try:
        yield server
    finally:
        server.stop()
