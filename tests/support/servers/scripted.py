"""A TCP server in this process that does what a test says with each connection."""

from __future__ import annotations

import contextlib
import socket
import threading


class ScriptedServer:
    """Calls a function with each connection, and closes it afterwards.

    Args:
        behave: called with the connection.
        host: the address to listen on.
        port: the port; 0 for any.
    """

    def __init__(self, behave, host="127.0.0.1", port=0):
        self._behave = behave
        self._listener = socket.create_server((host, port))
        self._acceptor = threading.Thread(target=self._serve, daemon=True)
        self.address = self._listener.getsockname()[:2]
        self.connections = 0

    def __enter__(self):
        self._acceptor.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            # Wakes the thread that waits.
            self._listener.shutdown(socket.SHUT_RDWR)
        # No thread ends in the middle of a later test.
        self._acceptor.join()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        # The client may close the connection at any time.
        with connection, contextlib.suppress(OSError):
            self._behave(connection)


def read_request(connection):
    """The bytes of an HTTP request without a body."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            break
        request += piece
    return request


def http_server(respond, host="127.0.0.1", port=0):
    """A server that sends the bytes, or the parts, that a function returns for a request.

    Args:
        respond: called with the bytes of the request.
        host: the address to listen on.
        port: the port; 0 for any.
    """

    def behave(connection):
        response = respond(read_request(connection))
        for part in [response] if isinstance(response, bytes) else response:
            connection.sendall(part)

    return ScriptedServer(behave, host, port)


def tls_server(context, behave=lambda _tls: None, host="127.0.0.1", port=0):
    """A TLS server, which does after the handshake what a function says.

    Args:
        context: the context of the server.
        behave: called with the connection.
        host: the address to listen on.
        port: the port; 0 for any.
    """

    def encrypt(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            behave(tls)

    return ScriptedServer(encrypt, host, port)
