"""TLS over a connection with limits."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import TypeVar

from anchor.acme.validation.limited_connection import LimitedConnection

_MAX_PIECE = 4096

_T = TypeVar("_T")


class TlsConnection:
    """The client's side of a TLS connection; creating it makes the handshake.

    OpenSSL gets the bytes from memory. If it read them from the socket, it would go on reading for
    as long as the server sends messages that are ignored, such as HelloRequest or NewSessionTicket,
    and Python's timeout would not end that.

    Args:
        connection: the connection, which limits the encrypted bytes and the time.
        context: the context of the client.
        server_name: the name of the server.

    Raises:
        ssl.SSLError: the handshake failed.
        OSError: the connection failed, or its limits are reached.
    """

    def __init__(self, connection: LimitedConnection, context: ssl.SSLContext, server_name: str):
        self._connection = connection
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=server_name)
        self._run(self._tls.do_handshake)

    @property
    def protocol(self) -> str | None:
        """The protocol that the server selected (ALPN)."""
        return self._tls.selected_alpn_protocol()

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate in DER."""
        return self._tls.getpeercert(binary_form=True)

    def send(self, data: bytes) -> None:
        """Encrypt and send all of the bytes.

        Raises:
            ssl.SSLError: TLS failed.
            OSError: the connection failed, or its limits are reached.
        """
        self._run(lambda: self._tls.write(data))

    def receive(self, size: int) -> bytes:
        """At most this many decrypted bytes; none at the end.

        Raises:
            ssl.SSLError: TLS failed.
            OSError: the connection failed, or its limits are reached.
        """
        try:
            return self._run(lambda: self._tls.read(size))
        except ssl.SSLEOFError:
            # Many web servers close the connection without saying so in TLS.
            return b""

    def _run(self, operation: Callable[[], _T]) -> _T:
        """The result of an operation of OpenSSL, once it has the bytes that it needs."""
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                # The server learns what is wrong, if it still listens.
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return result
            data = self._connection.receive(_MAX_PIECE)
            if data:
                self._received.write(data)
            else:
                self._received.write_eof()

    def _flush(self) -> None:
        data = self._to_send.read()
        if data:
            self._connection.send(data)
