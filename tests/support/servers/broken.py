"""Servers that do not do what they should."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest


def _silent(_connection, stop):
    stop.wait()


def _closing(connection, _stop):
    connection.recv(1)


def _garbage(connection, stop):
    connection.recv(1)
    connection.sendall(b"\x00garbage\r\n\r\n" * 20)
    stop.wait()


def _trickling(connection, stop):
    """The beginning of a long LDAP message or of a long header, and an octet of it now and then."""
    connection.recv(1)
    start = b"0\x84\x7f\xff\xff\xff"
    if connection.recv(3).startswith(b"ET"):
        start = b"HTTP/1.1 200 OK\r\nX-Long: "
    connection.sendall(start)
    while not stop.wait(0.05):
        connection.sendall(b"a")


WAYS = {
    "silent": _silent,
    "closing": _closing,
    "garbage": _garbage,
    "trickling": _trickling,
}


@contextlib.contextmanager
def broken_server(way):
    """The port of a server that is broken in one of the ``WAYS``, or answers as a function does."""
    stop = threading.Event()
    behave = WAYS.get(way, way)
    connections = []

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            behave(connection, stop)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,))
            connections.append((connection, thread))
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(20)
            for connection, thread in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                thread.join(20)


@pytest.fixture
def black_hole():
    """A port on which nothing answers, not even to a connection that is being opened."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Its queue is full after that, and the system drops what else comes.
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
