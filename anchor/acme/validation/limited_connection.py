"""A connection that ends after so many bytes and seconds, and a stream from it."""

from __future__ import annotations

import io
import socket
from typing import Any, Protocol

from anchor.acme.validation.time_limit import TimeLimit

_MAX_PIECE = 4096


class Connection(Protocol):
    """Sends and receives bytes, perhaps encrypted."""

    def send(self, data: bytes) -> None:
        """Send all of the bytes."""

    def receive(self, size: int) -> bytes:
        """At most this many bytes; none at the end."""


class TooMuchData(OSError):
    """The other side has sent more bytes than it may."""


class LimitedConnection:
    """Sends and receives the bytes of a TCP connection.

    A machine that sends a byte from time to time does not get more time.

    Args:
        connection: the connection.
        max_bytes: how many bytes the other side may send.
        limit: how much time the validation has.
    """

    def __init__(self, connection: socket.socket, max_bytes: int, limit: TimeLimit):
        self._connection = connection
        self._left = max_bytes
        self._limit = limit

    def send(self, data: bytes) -> None:
        """Send all of the bytes.

        Raises:
            TimeoutError: the time is over.
            OSError: the connection failed.
        """
        self._connection.settimeout(self._limit.left())
        self._connection.sendall(data)

    def receive(self, size: int) -> bytes:
        """At most this many bytes, and at most 4 KiB; none at the end.

        Raises:
            TimeoutError: the time is over.
            TooMuchData: the other side has sent too many bytes.
            OSError: the connection failed.
        """
        self._connection.settimeout(self._limit.left())
        data = self._connection.recv(min(size, _MAX_PIECE))
        self._left -= len(data)
        if self._left < 0:
            raise TooMuchData("it sends too much")
        return data


class ConnectionReader(io.RawIOBase):
    """Reads from a connection; ``http.client`` uses it in place of a socket.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: Connection):
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The stream itself, with a buffer."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """True: it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; 0 at the end."""
        data = self._connection.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)
