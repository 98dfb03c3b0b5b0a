"""Connections to Keystone, by keystoneauth, with bounds on each answer."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import Any

try:
    from keystoneauth1.adapter import LegacyJsonAdapter
    from keystoneauth1.session import Session, TCPKeepAliveAdapter

    from anchor.auth.bounded_http import BoundedAdapter
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[keystone]` installs what it needs") from error

# keystoneauth's debug log contains tokens that a server repeats. Its level is set here, so that
# debug logging of the root logger does not turn it on.
_WIRE = logging.getLogger(f"{__name__}.wire")
_WIRE.setLevel(logging.INFO)


@dataclass
class Connections:
    """Persistent connections to one Keystone.

    Attributes:
        url: the URL of version 3 of the API.
        verify: the path of the CAs to trust; True for the system's.
        timeout: how many seconds an answer may take.
    """

    url: str
    verify: str | bool
    timeout: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: Session | None = None
    _process: int = 0

    def client(self, account: Any) -> Any:
        """The client for the managers of keystoneclient.

        Args:
            account: keystoneauth's plug-in for the account that asks.
        """
        return _Client(self._current(), auth=account, endpoint_override=self.url, logger=_WIRE)

    def _current(self) -> Session:
        """The session, a new one after a fork, which would share the sockets."""
        with self._lock:
            if self._session is None or self._process != os.getpid():
                # Without redirects: another server would get the token.
                self._session = Session(verify=self.verify, timeout=self.timeout, redirect=False)
                for scheme in ("http://", "https://"):
                    self._session.session.mount(scheme, _Adapter())
                self._process = os.getpid()
            return self._session


def is_from_keystone(error: Any) -> bool:
    """True if Keystone itself sent the error, not another server at the URL."""
    try:
        return bool(error.response.json()["error"]["code"] == error.http_status)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return False


class _Client(LegacyJsonAdapter):
    # keystoneclient's managers read it: they return the objects only.
    include_metadata = False


class _Adapter(BoundedAdapter, TCPKeepAliveAdapter):
    """Keystoneauth's adapter, with bounds on the answer."""
