"""An adapter for ``requests`` that limits the size and the duration of an answer."""

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

# The headers and the chunk sizes are not part of the body.
_WIRE_LIMIT = LIMIT + 200_000
_CHUNK = 16384


class BoundedAdapter(HTTPAdapter):
    """A transport adapter that rejects an answer that is too large or too slow.

    The whole answer has to arrive within the read timeout, which ``requests`` applies only to the
    pause between two packets.  A late answer, or one larger than ``LIMIT``, raises a
    ``requests.exceptions.RequestException``.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use pools with bounded reads."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the manager for a proxy, with bounded reads too."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Return an answer with its whole body, decompressed.

        Raises:
            requests.exceptions.RequestException: the answer is too large, too slow, or not HTTP.
        """
        try:
            response = super().send(*args, **kwargs)
            # The attribute in which requests caches the body.
            response._content = _whole_body(response)
        except (requests.exceptions.RequestException, MemoryError):
            raise
        except Exception as error:
            # The libraries do not check everything, for example negative lengths.
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
    """A stream that raises OSError after too many bytes or too many seconds."""

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
    """The part of a socket that ``http.client`` uses to read an answer."""

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
