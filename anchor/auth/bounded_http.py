"""HTTP answers of a bounded size that arrive within a bounded time, for ``requests``."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

LIMIT = 1_000_000
"""The largest body, in bytes, after decompression."""

# Headers and the lengths of chunks come on top of the body.
_WIRE_LIMIT = LIMIT + 200_000
_CHUNK = 16384


class BoundedAdapter(HTTPAdapter):
    """A transport adapter that refuses an answer that is too large or too slow.

    The whole answer has to arrive within the read timeout of the request, which for ``requests``
    alone is the longest pause between two packets.  An answer that does not, or is larger than
    ``LIMIT``, raises a ``requests.exceptions.RequestException``.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools that bound what is read."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the manager of a proxy, whose pools bound what is read too."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Return an answer with its whole body, decompressed.

        Raises:
            requests.exceptions.RequestException: it is too large, too slow, or not HTTP.
        """
        try:
            response = super().send(*args, **kwargs)
            # Where requests itself keeps what it has read.
            response._content = _whole_body(response)
        except (requests.exceptions.RequestException, MemoryError):
            raise
        except Exception as error:
            # Neither library checks everything that a server can send, such as negative lengths.
            raise requests.exceptions.ConnectionError(
                f"the answer is not HTTP: {type(error).__name__}"
            ) from error
        return response


def _whole_body(response: requests.Response) -> bytes:
    body = bytearray()
    try:
        for piece in response.iter_content(_CHUNK):
            body += piece
            if len(body) > LIMIT:
                raise requests.exceptions.ConnectionError(f"{_TOO_LARGE} of {LIMIT} bytes")
    except BaseException:
        response.close()
        raise
    return bytes(body)


_TOO_LARGE = "the answer is larger than the limit"


class _BoundedReader(io.RawIOBase):
    """What comes out of a socket, up to a number of bytes and a point in time."""

    def __init__(self, source: io.RawIOBase, limit: int, seconds: float | None):
        self._source = source
        self._left = limit
        self._end = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None and time.monotonic() >= self._end:
            raise TimeoutError("the answer does not arrive in time")
        count = self._source.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise OSError(f"{_TOO_LARGE} of {LIMIT} bytes")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _BoundedSocket:
    """As much of a socket as ``http.client`` needs to read one answer."""

    def __init__(self, sock: socket.socket):
        self._socket = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        source: Any = self._socket.makefile("rb", buffering=0)
        return io.BufferedReader(_BoundedReader(source, _WIRE_LIMIT, self._socket.gettimeout()))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any):
        super().__init__(_BoundedSocket(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}
