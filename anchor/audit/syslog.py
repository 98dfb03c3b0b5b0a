"""Sending audit records to syslog, as far as the network tells whether they arrive."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from logging.handlers import SysLogHandler
from typing import Any

Handle = Callable[[logging.Handler, logging.LogRecord], bool]


def send(handler: SysLogHandler, record: logging.LogRecord, handle: Handle) -> bool:
    """Send the record, over a new connection if the old one turns out to be gone.

    Args:
        handler: the handler, whose lock is held.
        record: what to send.
        handle: calls the handler, and raises its errors.

    Returns:
        False if a filter rejected the record.

    Raises:
        OSError: it could not be sent.
    """
    try:
        return _send(handler, record, handle)
    except OSError:
        # Neither a reset connection nor a socket with a pending error mends itself.
        _disconnect(handler)
        return _send(handler, record, handle)


def _send(handler: Any, record: logging.LogRecord, handle: Handle) -> bool:
    if handler.socket is None:
        handler.createSocket()
    connection: socket.socket = handler.socket
    if handler.socktype == socket.SOCK_STREAM and _is_gone(connection):
        raise OSError(errno.EPIPE, "the other end has closed the connection")
    by_udp = connection.family != socket.AF_UNIX and handler.socktype == socket.SOCK_DGRAM
    if by_udp:
        # A connected socket is told that nobody listens, as far as the network says so.
        connection.connect(handler.address)
    kept = handle(handler, record)
    if by_udp and (code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise OSError(code, os.strerror(code))
    return kept


def _is_gone(connection: socket.socket) -> bool:
    """True if the other end closed the stream: what is sent then is lost without an error."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _disconnect(handler: Any) -> None:
    # typeshed does not know the attribute.
    connection: socket.socket | None = handler.socket
    handler.socket = None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.close()
