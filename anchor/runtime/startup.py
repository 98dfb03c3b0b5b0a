"""Ending a start that must not be repeated: a token rejected the PIN (doc/adr/0034)."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from anchor.errors import ConfigurationError
from anchor.runtime import server

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 60
"""The time after which a worker of uwsgi tries a broken configuration again."""


def end_if_final(error: ConfigurationError) -> None:
    """End the service with the error's exit status, unless that is 1.

    Return in a worker of gunicorn, because the master ends if a worker fails to start, and in a
    worker of uwsgi, because it cannot end its master.
    """
    is_gunicorn = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")
    if error.exit_status == 1 or (is_gunicorn and not server.is_gunicorns_master()):
        return
    uwsgi = server.uwsgi()
    if uwsgi is None:
        LOG.critical("%s", error)
        raise SystemExit(error.exit_status)
    if not uwsgi.worker_id():
        LOG.critical("%s", error)
        # After a SystemExit uwsgi would run on without an application.
        os._exit(error.exit_status)


def end_worker_later(error: Exception, config_json: Path) -> None:
    """End a worker of uwsgi that cannot load the configuration, and return anywhere else.

    uwsgi starts the next worker at once, with a traceback each second. So wait, until the file
    changes or RETRY_SECONDS have passed.
    """
    uwsgi = server.uwsgi()
    if uwsgi is None or not uwsgi.worker_id():
        return
    LOG.error("the configuration is broken, so a worker is missing: %s", error)
    before = _changed_at(config_json)
    for _ in range(RETRY_SECONDS):
        time.sleep(1)
        if _changed_at(config_json) != before:
            break
    os._exit(1)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
