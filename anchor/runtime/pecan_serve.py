"""Pecan's own server, behind ``pecan serve`` and ``anchor serve``: its address and its output."""

from __future__ import annotations

import socket
import socketserver
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

from anchor.errors import ConfigurationError
from anchor.runtime import listeners

PORTS = range(1, 65535 + 1)


def is_serving() -> bool:
    """Whether this process was started by ``pecan serve`` or ``anchor serve``."""
    # Pecan's module for it is no sign: other servers import that too.
    return Path(sys.argv[0]).name in {"pecan", "anchor"} and sys.argv[1:2] == ["serve"]


def prepare(server: Mapping[str, Any]) -> None:
    """Check that the server can listen, and have it write each line at once.

    Args:
        server: the section ``server`` of ``config.py``, with ``host`` and ``port``.

    Raises:
        ConfigurationError: the address is malformed, taken, or not one of this machine.
    """
    host, port = server.get("host"), _port(server.get("port"))
    if not isinstance(host, str):
        raise ConfigurationError.about("server.host", f"{host!r} is not an address or host name")
    try:
        # The first of the addresses: a host name may have several. wsgiref takes "" for all.
        family = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0][0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError.about(
            "server.host", f"{host!r} is not an address of this machine: {error.args[-1]}"
        ) from None
    # Pecan makes the server after this; wsgiref listens on IPv4 unless told otherwise.
    WSGIServer.address_family = family
    try:
        address = _listen_once(host, port)
    except OSError as error:
        raise ConfigurationError.about(
            "server", f"cannot listen on {_written(host, port)}: {error.strerror}"
        ) from None
    listeners.PLANNED.set((f"{address}:{port}",))
    # Python keeps lines back when standard output is a pipe or a file.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _listen_once(host: str, port: int) -> str:
    """The address on which wsgiref would listen, tried but for its search for a full name."""

    class Server(WSGIServer):
        server_bind = socketserver.TCPServer.server_bind

    with Server((host, port), socketserver.BaseRequestHandler) as server:
        return str(server.server_address[0])


def _port(value: object) -> int:
    try:
        port = int(str(value))
    except ValueError:
        port = 0
    if port not in PORTS:
        raise ConfigurationError.about(
            "server.port", f"{value!r} is not a port: a number from 1 to {PORTS[-1]}"
        )
    return port


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
