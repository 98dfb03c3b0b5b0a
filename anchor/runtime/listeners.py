"""The addresses that this process accepts connections on, as far as it can know them."""

from __future__ import annotations

import contextlib
import os
import socket
from contextvars import ContextVar
from ipaddress import ip_address

PLANNED: ContextVar[tuple[str, ...]] = ContextVar("planned listeners", default=())
"""The addresses that the server opens after it has loaded the service, if it says so."""


def listening() -> list[str]:
    """This process's listeners, as ``address:port`` or the path of a UNIX socket.

    None are found if the server opens them after it has loaded the service, and has not planned
    them.
    """
    found = set(PLANNED.get())
    with contextlib.suppress(OSError):
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as one:
                if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                if one.family == socket.AF_UNIX:
                    found.add(os.fsdecode(one.getsockname()))
                else:
                    address, port, *_ = one.getsockname()
                    found.add(f"{address}:{port}")
    return sorted(found)


def is_loopback(listener: str) -> bool:
    """Whether only this machine can connect to a listener; behind a UNIX socket may be a proxy."""
    try:
        return ip_address(listener.rpartition(":")[0]).is_loopback
    except ValueError:
        return False
