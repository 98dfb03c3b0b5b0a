"""The addresses on which this process accepts connections."""

from __future__ import annotations

import contextlib
import os
import socket
from contextvars import ContextVar
from ipaddress import ip_address

PLANNED: ContextVar[tuple[str, ...]] = ContextVar("planned listeners", default=())
"""The addresses that the server will open after it has loaded the service, if they are known."""


def listening() -> list[str]:
    """The listeners of this process, as ``address:port`` or the path of a UNIX socket.

    A server that opens its listeners later has to announce them in ``PLANNED``.
    """
    listeners = set(PLANNED.get())
    with contextlib.suppress(OSError):
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                if not copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                if copy.family == socket.AF_UNIX:
                    listeners.add(os.fsdecode(copy.getsockname()))
                else:
                    address, port, *_ = copy.getsockname()
                    listeners.add(f"{address}:{port}")
    return sorted(listeners)


def is_loopback(listener: str) -> bool:
    """Whether only this machine can connect; False for a UNIX socket, which a proxy may use."""
    try:
        return ip_address(listener.rpartition(":")[0]).is_loopback
    except ValueError:
        return False
