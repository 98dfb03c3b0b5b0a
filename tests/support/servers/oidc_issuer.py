"""An OpenID Connect issuer on this machine: discovery, keys, and all that can be wrong with it."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support import jwt

WELL_KNOWN = "/.well-known/openid-configuration"


class Issuer:
    """The state of the server; tests change it while it runs.

    Attributes:
        keys: the members of the key set.
        seen: the path and the Authorization header of each request.
        headers: more headers of the key set's answer.
        answers: by path, functions that answer in place of the issuer.
        document: changes to the discovery document.
    """

    def __init__(self, scheme, port):
        self.url = f"{scheme}://localhost:{port}"
        self.port = port
        self.keys = [jwt.public(jwt.make_key())]
        self.seen = []
        self.headers = {}
        self.answers = {}
        self.document = {}

    @property
    def fetches(self):
        """How often the keys were fetched."""
        return [path for path, _ in self.seen].count("/keys")

    def token(self, *args, **changes):
        return jwt.make_token(*args, **{"iss": self.url, **changes})

    def answer(self, handler):
        path = handler.path
        self.seen.append((path, handler.headers.get("Authorization")))
        if path in self.answers:
            self.answers[path](handler)
        elif path == WELL_KNOWN:
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.document}
            send(handler, json.dumps(document).encode())
        elif path == "/keys":
            send(handler, jwt.key_set(*self.keys), **self.headers)
        else:
            send(handler, b"{}", 404)


def send(handler, body, status=200, **headers):
    """Answer with a body."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def sending(body, status=200, **headers):
    """A function for ``Issuer.answers``."""
    return lambda handler: send(handler, body, status, **headers)


@contextlib.contextmanager
def running_issuer(certificate=None, key=None):
    """Run an issuer until the end of the block; with a certificate it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(OSError):
                issuer.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.handle_error = lambda *_: None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    issuer = Issuer("https" if certificate else "http", server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
