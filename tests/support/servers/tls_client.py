"""An HTTPS client with a client certificate, which can resume a TLS session."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.pki import key_pem, make_csr, shared_key

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Answer:
    """A response, and the TLS session that it came in."""

    status: int
    body: bytes
    headers: http.client.HTTPMessage
    session: ssl.SSLSession
    resumed: bool

    @property
    def certificate(self):
        """The certificate in the response."""
        assert self.status == 200, self.body
        return x509.load_pem_x509_certificate(self.body)


@dataclass(frozen=True)
class TLSClient:
    """A client of a server on the loopback interface.

    Attributes:
        port: the port of the server.
        ca: the CA of the server's certificate.
        host: the name for SNI and the Host header.
        directory: where the client's certificate and key are stored.
    """

    port: int
    ca: object
    host: str
    directory: object

    def context(self, certificate=None, key=None, version=None):
        """The settings for connections with a certificate, and with one TLS version."""
        context = ssl.create_default_context(cafile=self.ca.cert_path)
        context.check_hostname = False
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if certificate is not None:
            path = self.directory / f"{certificate.serial_number:x}.pem"
            pem = certificate.public_bytes(Encoding.PEM)
            path.write_bytes(pem + key_pem(key or shared_key()))
            context.load_cert_chain(path)
        return context

    def ask(self, context, method, path, body=None, headers=(), *, session=None, host=None):
        """Send a request over a new connection.

        Args:
            context: the result of :meth:`context`.
            method: the method of the request.
            path: the path of the URL.
            body: the body of the request.
            headers: pairs of name and value.
            session: the TLS session to resume.
            host: another Host header than the name for SNI.
        """
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname=self.host, session=session) as secure,
        ):
            connection = http.client.HTTPConnection(self.host)
            connection.sock = secure
            connection.putrequest(method, path, skip_host=True)
            for name, value in (("Host", host or self.host), *headers):
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            # The server may respond and close before it has read everything.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.endheaders(body)
            with connection.getresponse() as answer:
                text = answer.read()
                return Answer(
                    answer.status, text, answer.headers, secure.session, secure.session_reused
                )

    def post(self, context, path, fields, headers=(), **more):
        """Send a form."""
        body = urlencode(fields).encode()
        return self.ask(context, "POST", path, body, (*FORM.items(), *headers), **more)

    def renew(self, context, csr=None, *, authority="default", headers=(), **more):
        """Renew with the client certificate of the context."""
        form = {"encoding": "pem", "csr": csr or make_csr()}
        return self.post(context, f"/v1/renew/{authority}", form, headers, **more)

    def sign(self, csr=None, *, authority="default"):
        """The certificate for a request with a secret."""
        form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": csr or make_csr()}
        return self.post(self.context(), f"/v1/sign/{authority}", form).certificate
