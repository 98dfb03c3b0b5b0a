"""Sending audit records to syslog, with an error if the network reports one."""

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
    """Send the record, over a new connection if the old one is lost.

    Args:
        handler: the handler; the caller holds its lock.
        record: the record.
        handle: call the handler and raise its errors.

    Returns:
        False if a filter rejected the record.

    Raises:
        OSError: the record could not be sent.
    """
    try:
        return _send(handler, record, handle)
    except OSError:
        # A reset connection and a socket with a pending error stay unusable.
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
        # Only a connected UDP socket gets the error that no process listens.
        connection.connect(handler.address)
    accepted = handle(handler, record)
    if by_udp and (code := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        raise OSError(code, os.strerror(code))
    return accepted


def _is_gone(connection: socket.socket) -> bool:
    """True if the server closed the stream; a sent record would be lost silently."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _disconnect(handler: Any) -> None:
    # typeshed does not declare the attribute.
    connection: socket.socket | None = handler.socket
    handler.socket = None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.close()
