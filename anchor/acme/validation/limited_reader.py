"""A stream from a connection that ends after so many bytes and seconds."""

from __future__ import annotations

import io
import socket
from typing import Any

from anchor.acme.validation.time_limit import TimeLimit


class LimitedReader(io.RawIOBase):
    """Reads from a connection; ``http.client`` uses it in place of the connection.

    Reading raises OSError after too many bytes, and TimeoutError if the time is over: a machine
    that sends a byte from time to time does not get more time.

    Args:
        connection: the connection.
        max_bytes: how many bytes it may send.
        limit: how much time the validation has.
    """

    def __init__(self, connection: socket.socket, max_bytes: int, limit: TimeLimit):
        self._connection = connection
        self._left = max_bytes
        self._limit = limit

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The stream itself, with a buffer."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """True: it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; 0 at the end."""
        self._connection.settimeout(self._limit.left())
        count = self._connection.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise OSError("it sends too much")
        return count
