"""Settings for gunicorn: ``gunicorn --config python:anchor.gunicorn anchor.wsgi:application``.

The master loads the service, and workers are forked from it. So a worker that dies is replaced by
one with the same configuration, even if the files have changed. doc/adr/0074 says why.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from anchor.app import record_of_service
from anchor.ca.pkcs11 import module
from anchor.errors import ConfigurationError

MASTER = os.getpid()
"""The id of gunicorn's master, which reads these settings before it forks."""

preload_app = True
# In bytes, like large_client_header_buffers in tools/nginx/anchor.conf. A secret of 16,384 bytes is
# 22,200 in a header of the Basic scheme.
limit_request_line = 8190
limit_request_field_size = 24576


def on_reload(server: Any) -> None:
    """Load the configuration again for new workers; keep the old one if the new one is broken.

    Args:
        server: gunicorn's arbiter, which calls this after a SIGHUP.
    """
    if not _can_load(server):
        record_of_service().failed()
        server.log.error("not reloaded: the service goes on with the configuration it had")
        return
    try:
        server.app.callable = _load(server)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the master has to go on
        # The files have just changed, or a token has rejected the PIN.
        record_of_service().failed()
        _log_failure(server, error)


def _can_load(server: Any) -> bool:
    """Load the configuration in a forked process; return True if that succeeds."""
    child = os.fork()
    if child == 0:
        try:
            _load(server)
        except BaseException as error:  # noqa: BLE001  # this process must not return
            _log_failure(server, error)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def _load(server: Any) -> Any:
    # A login with the PIN of the old configuration would refuse another PIN, and hide a wrong one.
    module.log_out()
    importlib.reload(importlib.import_module("anchor.wsgi"))
    return server.app.load()


def _log_failure(server: Any, error: BaseException) -> None:
    if isinstance(error, SystemExit):
        # A token rejected the PIN; anchor.runtime.startup has logged that.
        return
    # The message of a syntax error names the file and the line.
    is_clear = isinstance(error, ConfigurationError | SyntaxError)
    server.log.error("the configuration is broken: %s", error, exc_info=not is_clear)
