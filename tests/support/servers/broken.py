"""Servers that misbehave."""

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
    """Send the beginning of a long LDAP message or HTTP header, then one byte at a time."""
    connection.recv(1)
    start = b"0\x84\x7f\xff\xff\xff"
    if connection.recv(3).startswith(b"ET"):
        start = b"HTTP/1.1 200 OK\r\nX-Long: "
    connection.sendall(start)
    while not stop.wait(0.05):
        connection.sendall(b"a")


BEHAVIOURS = {
    "silent": _silent,
    "closing": _closing,
    "garbage": _garbage,
    "trickling": _trickling,
}


@contextlib.contextmanager
def broken_server(behaviour):
    """Run a server until the end of the block, and yield its port.

    Args:
        behaviour: a key of ``BEHAVIOURS``, or a function that handles a connection.
    """
    stop = threading.Event()
    handle = BEHAVIOURS.get(behaviour, behaviour)
    connections = []

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            handle(connection, stop)

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
    """A port that does not answer, not even to a SYN packet."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Fill the queue of connections; then the kernel drops further SYN packets.
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
