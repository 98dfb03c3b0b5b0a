"""Settings for gunicorn: ``gunicorn --config python:anchor.gunicorn anchor.wsgi:application``.

The master loads the service, and workers are forked from it. So a worker that dies is replaced by
one with the same configuration, whatever has become of the files since. doc/adr/0074 says why.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from anchor.errors import ConfigurationError

MASTER = os.getpid()
"""The process that loads the service: gunicorn reads these settings before it forks."""

preload_app = True
# In bytes, as large_client_header_buffers in tools/nginx/anchor.conf. A secret of 16,384 bytes is
# 22,200 in a header of the Basic scheme.
limit_request_line = 8190
limit_request_field_size = 24576


def on_reload(server: Any) -> None:
    """Load the configuration anew for the workers that come; keep the old one if it is broken.

    Args:
        server: gunicorn's arbiter, which calls this at a SIGHUP.
    """
    if not _loads(server):
        server.log.error("not reloaded: the service goes on with the configuration it had")
        return
    try:
        server.app.callable = _load(server)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the master has to go on
        # The files have changed since the moment before, or a token has refused the PIN.
        _complain(server, error)


def _loads(server: Any) -> bool:
    """Whether the configuration is good, tried in a process where it can do no harm."""
    tried = os.fork()
    if tried == 0:
        try:
            _load(server)
        except BaseException as error:  # noqa: BLE001  # this process must not return
            _complain(server, error)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(tried, 0)
    return status == 0


def _load(server: Any) -> Any:
    importlib.reload(importlib.import_module("anchor.wsgi"))
    return server.app.load()


def _complain(server: Any, error: BaseException) -> None:
    if isinstance(error, SystemExit):
        # A token refused the PIN, which anchor.runtime.startup has logged.
        return
    server.log.error(
        "the configuration is broken: %s", error, exc_info=not isinstance(error, ConfigurationError)
    )
