"""The address and the output of Pecan's server (``pecan serve`` and ``anchor serve``)."""

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
    # pecan.commands.serve in sys.modules is not sufficient: other servers import it too.
    return Path(sys.argv[0]).name in {"pecan", "anchor"} and sys.argv[1:2] == ["serve"]


def prepare(server: Mapping[str, Any]) -> None:
    """Check that the server can listen on its address, and switch its output to line buffering.

    Args:
        server: the section ``server`` of ``config.py``, with ``host`` and ``port``.

    Raises:
        ConfigurationError: the address is malformed, in use, or not one of this machine.
    """
    host, port = server.get("host"), _port(server.get("port"))
    if not isinstance(host, str):
        raise ConfigurationError.about("server.host", f"{host!r} is not an address or host name")
    try:
        # A host name may have several addresses: take the first. For wsgiref "" means any address.
        family = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0][0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError.about(
            "server.host", f"{host!r} is not an address of this machine: {error.args[-1]}"
        ) from None
    # Pecan creates the server later; wsgiref's default is IPv4.
    WSGIServer.address_family = family
    try:
        address = _listen_once(host, port)
    except OSError as error:
        raise ConfigurationError.about(
            "server", f"cannot listen on {_host_and_port(host, port)}: {error.strerror}"
        ) from None
    listeners.PLANNED.set((f"{address}:{port}",))
    # Python buffers whole blocks if standard output is a pipe or a file.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _listen_once(host: str, port: int) -> str:
    """Listen as wsgiref does, without its DNS lookup, and return the address."""

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


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
